// Memories and multipliers of several shapes, whose registers blocks of an ECP5 can take: what
// comes out, folded into 32 bits, is compared before and after.

module ecp5_memories(
    input clk, input rst, input en, input we,
    input [5:0] row, input [35:0] in,
    output [31:0] out
);
    // 36 bits wide, written and read: a block whose two ports are one
    (* no_rw_check *) reg [35:0] wide [0:63];
    reg [35:0] wide_read, wide_late;
    // 18 bits, written and read
    (* no_rw_check *) reg [17:0] narrow [0:1023];
    reg [17:0] narrow_read, narrow_late;
    // of constants: 9 bits of 2048 rows, and 4 of 4096
    reg [8:0] rom [0:2047];
    reg [8:0] rom_read, rom_late;
    reg [3:0] deep [0:4095];
    reg [3:0] deep_read, deep_late;
    integer at;
    initial begin
        for (at = 0; at < 2048; at = at + 1) rom[at] = at * 77 + (at >> 3);
        for (at = 0; at < 4096; at = at + 1) deep[at] = at * 5 + (at >> 4);
    end
    wire [11:0] address = {in[5:0], row};
    always @(posedge clk) begin
        if (we) wide[in[5:0]] <= in;
        if (we) narrow[in[9:0]] <= in[17:0];
        if (en) begin
            wide_read <= wide[row];
            wide_late <= wide_read;
            narrow_read <= narrow[address[9:0]];
            narrow_late <= narrow_read;
            rom_read <= rom[address[10:0]];
            rom_late <= rom_read;
            deep_read <= deep[address];
            deep_late <= deep_read;
        end
    end

    // signed factors and a product, one factor shared; one of constants alone; one with a reset
    reg signed [8:0] a = 0;
    reg signed [7:0] b = 0, c = 0;
    reg signed [16:0] ab = 0, ac = 0;
    reg [16:0] scaled = 0;
    reg [15:0] cleared = 0;
    always @(posedge clk) begin
        if (en) begin
            a <= in[8:0];
            b <= in[16:9];
            c <= in[24:17];
            ab <= a * b;
            ac <= a * c;
            scaled <= {1'b0, a[7:0]} * 8'd173;
        end
        if (rst) cleared <= 0;
        else if (en) cleared <= in[15:8] * in[7:0];
    end
    assign out = wide_late[31:0] ^ {28'd0, wide_late[35:32]} ^ {narrow_late, 14'd0}
        ^ {rom_late, deep_late, 19'd0} ^ {ab, 15'd0} ^ {15'd0, ac} ^ {7'd0, scaled, 8'd0}
        ^ {8'd0, cleared, 8'd0};
endmodule
