// A core of two layers, small enough to check by eye, with the ports and the behaviour that every
// emitted core has. It proves the bench: right as it stands, and wrong in one way at a time where
// test_sim_bench_tb_frames.py replaces a line. Written by hand beside the network of the same name in
// tinycore.py; 4x4x1 uint8 -> conv1 2x2 stride 2, 2 channels, uint8 -> conv2 2x2, 3 channels,
// int6 -> argmax, uint2. It takes a whole image before it computes.

// Pixels to (2, 2, 2) values: y = clamp((w . x + 4) >> 3, 0, 255).
module tiny_conv1(
    input wire clk, input wire rst, input wire start, input wire [127:0] image, output wire busy,
    output wire o__valid, input wire o__ready, output wire [7:0] o__payload);
  reg [3:0] index;  // row, column, channel; 8 when idle
  wire [7:0] p00 = image[8 * {index[2], 1'b0, index[1], 1'b0} +: 8];
  wire [7:0] p01 = image[8 * {index[2], 1'b0, index[1], 1'b1} +: 8];
  wire [7:0] p10 = image[8 * {index[2], 1'b1, index[1], 1'b0} +: 8];
  wire [7:0] p11 = image[8 * {index[2], 1'b1, index[1], 1'b1} +: 8];
  wire signed [15:0] acc = index[0] ? -3 * $signed({8'd0, p00}) + 5 * $signed({8'd0, p01})
                                      + 2 * $signed({8'd0, p10}) + 4 * $signed({8'd0, p11})
                                    : 7 * $signed({8'd0, p00}) + 1 * $signed({8'd0, p01})
                                      - 6 * $signed({8'd0, p10}) + 6 * $signed({8'd0, p11});
  wire signed [15:0] rounded = (acc + 16'sd4) >>> 3;
  assign busy = ~index[3];
  assign o__valid = ~index[3];
  assign o__payload = rounded < 0 ? 8'd0 : rounded > 255 ? 8'd255 : rounded[7:0];
  always @(posedge clk)
    if (rst) index <= 4'd8;
    else if (start) index <= 4'd0;
    else if (o__valid & o__ready) index <= index + 4'd1;
endmodule

// (2, 2, 2) values to 3 logits: y = clamp(((w . x + 32) >> 6) - 5, -32, 31).
module tiny_conv2(
    input wire clk, input wire rst,
    input wire i__valid, output wire i__ready, input wire [7:0] i__payload,
    output wire o__valid, input wire o__ready, output wire [5:0] o__payload);
  reg [3:0] beat;     // values taken; 8 while the logits leave
  reg [1:0] channel;  // the logit that leaves
  reg signed [15:0] acc0, acc1, acc2;
  wire signed [15:0] x = $signed({8'd0, i__payload});
  wire signed [15:0] sum = channel == 2'd0 ? acc0 : channel == 2'd1 ? acc1 : acc2;
  wire signed [15:0] shifted = ((sum + 16'sd32) >>> 6) - 16'sd5;
  assign i__ready = ~beat[3];
  assign o__valid = beat[3];
  assign o__payload = shifted < -32 ? 6'h20 : shifted > 31 ? 6'h1f : shifted[5:0];
  always @(posedge clk)
    if (rst) begin
      beat <= 4'd0; channel <= 2'd0; acc0 <= 0; acc1 <= 0; acc2 <= 0;
    end else if (i__valid & i__ready) begin
      beat <= beat + 4'd1;
      acc0 <= acc0 + (beat[0] ? -16'sd3 : 16'sd4) * x;
      acc1 <= acc1 + (beat[1] ? 16'sd5 : -16'sd2) * x;
      acc2 <= acc2 + (beat[2] ? 16'sd6 : -16'sd5) * x;
    end else if (o__valid & o__ready) begin
      channel <= channel + 2'd1;
      if (channel == 2'd2) begin
        beat <= 4'd0; channel <= 2'd0; acc0 <= 0; acc1 <= 0; acc2 <= 0;
      end
    end
endmodule

module tiny(
    input wire clk, input wire rst,
    input wire [7:0] s_axis_tdata, input wire s_axis_tvalid, output wire s_axis_tready,
    input wire s_axis_tlast,
    output wire [7:0] m_axis_tdata, output wire m_axis_tvalid, input wire m_axis_tready,
    output wire m_axis_tlast, output wire [1:0] m_axis_tuser,
    output reg frame_good, output reg frame_bad, output reg frame_error,
    input wire frame_error_clear);
  reg [127:0] image;  // pixel 0 lowest
  reg [3:0] beat;
  reg start;
  wire busy, x_valid, x_ready, y_valid;
  wire [7:0] x;
  wire [5:0] y;
  wire take = s_axis_tvalid & s_axis_tready;
  wire ends = s_axis_tlast | beat == 4'd15;
  wire wrong = take & s_axis_tlast != (beat == 4'd15);
  assign s_axis_tready = ~busy & ~start & ~rst;
  always @(posedge clk)
    if (rst) begin
      beat <= 4'd0; start <= 1'b0; frame_error <= 1'b0;
      frame_good <= 1'b0; frame_bad <= 1'b0;
    end else begin
      start <= take & s_axis_tlast & beat == 4'd15;
      frame_good <= take & s_axis_tlast & beat == 4'd15;
      frame_bad <= wrong;
      frame_error <= frame_error & ~frame_error_clear | wrong;
      if (take) begin
        image[8 * beat +: 8] <= s_axis_tdata;
        beat <= ends ? 4'd0 : beat + 4'd1;
      end
    end

  tiny_conv1 conv1(
    .clk(clk), .rst(rst), .start(start), .image(image), .busy(busy),
    .o__valid(x_valid), .o__ready(x_ready), .o__payload(x));
  tiny_conv2 conv2(
    .clk(clk), .rst(rst), .i__valid(x_valid), .i__ready(x_ready), .i__payload(x),
    .o__valid(y_valid), .o__ready(m_axis_tready), .o__payload(y));

  // The class is that of the greatest logit so far, the first of equal ones.
  reg [1:0] place, best;
  reg signed [5:0] greatest;
  wire better = place == 2'd0 | $signed(y) > greatest;
  assign m_axis_tvalid = y_valid & ~rst;
  assign m_axis_tdata = {{2{y[5]}}, y};
  assign m_axis_tlast = place == 2'd2;
  assign m_axis_tuser = better ? place : best;
  always @(posedge clk)
    if (rst) place <= 2'd0;
    else if (m_axis_tvalid & m_axis_tready) begin
      place <= m_axis_tlast ? 2'd0 : place + 2'd1;
      if (better) begin best <= place; greatest <= y; end
    end
endmodule
