// Models of the ECP5 blocks for which Yosys has none, of what a core uses of them: one clock, CE0
// and RST0 in a multiplier, a synchronous reset of what a block RAM reads. After Lattice
// FPGA-TN-02205 (sysDSP) and FPGA-TN-02204 (sysMEM); INITVALs as Yosys' techmap lays them out: 16
// words of 18 bits, each in 20.

module MULT18X18D(
    input A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0,
    input B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0,
    input C17, C16, C15, C14, C13, C12, C11, C10, C9, C8, C7, C6, C5, C4, C3, C2, C1, C0,
    input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB, CLK0, CE0, RST0,
    output P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18,
    output P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
);
    parameter REG_INPUTA_CLK = "NONE", REG_INPUTA_CE = "CE0", REG_INPUTA_RST = "RST0";
    parameter REG_INPUTB_CLK = "NONE", REG_INPUTB_CE = "CE0", REG_INPUTB_RST = "RST0";
    parameter REG_OUTPUT_CLK = "NONE", REG_OUTPUT_CE = "CE0", REG_OUTPUT_RST = "RST0";
    parameter GSR = "ENABLED";

    wire [17:0] a = {A17, A16, A15, A14, A13, A12, A11, A10, A9,
        A8, A7, A6, A5, A4, A3, A2, A1, A0};
    wire [17:0] b = {B17, B16, B15, B14, B13, B12, B11, B10, B9,
        B8, B7, B6, B5, B4, B3, B2, B1, B0};
    reg [17:0] kept_a = 0, kept_b = 0;
    reg [35:0] kept_p = 0;
    wire [17:0] x = REG_INPUTA_CLK == "CLK0" ? kept_a : a;
    wire [17:0] y = REG_INPUTB_CLK == "CLK0" ? kept_b : b;
    wire signed [35:0] wide_x = {{18{SIGNEDA & x[17]}}, x};
    wire signed [35:0] wide_y = {{18{SIGNEDB & y[17]}}, y};
    wire [35:0] product = wide_x * wide_y;
    always @(posedge CLK0)
        if (RST0) begin
            kept_a <= 0;
            kept_b <= 0;
            kept_p <= 0;
        end else if (CE0) begin
            kept_a <= a;
            kept_b <= b;
            kept_p <= product;
        end
    assign {P35, P34, P33, P32, P31, P30, P29, P28, P27,
            P26, P25, P24, P23, P22, P21, P20, P19, P18,
            P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0}
        = REG_OUTPUT_CLK == "CLK0" ? kept_p : product;
endmodule

module DP16KD(
    input DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5,
    input DIA4, DIA3, DIA2, DIA1, DIA0,
    input ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0,
    input CEA, OCEA, CLKA, WEA, RSTA, CSA2, CSA1, CSA0,
    output DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5,
    output DOA4, DOA3, DOA2, DOA1, DOA0,
    input DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5,
    input DIB4, DIB3, DIB2, DIB1, DIB0,
    input ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0,
    input CEB, OCEB, CLKB, WEB, RSTB, CSB2, CSB1, CSB0,
    output DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5,
    output DOB4, DOB3, DOB2, DOB1, DOB0
);
    parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18, REGMODE_A = "NOREG", REGMODE_B = "NOREG";
    parameter RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC", GSR = "ENABLED";
    parameter CSDECODE_A = "0b000", CSDECODE_B = "0b000", CLKAMUX = "CLKA", CLKBMUX = "CLKB";
    parameter WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL";
    parameter INITVAL_00 = 320'd0, INITVAL_01 = 320'd0, INITVAL_02 = 320'd0, INITVAL_03 = 320'd0;
    parameter INITVAL_04 = 320'd0, INITVAL_05 = 320'd0, INITVAL_06 = 320'd0, INITVAL_07 = 320'd0;
    parameter INITVAL_08 = 320'd0, INITVAL_09 = 320'd0, INITVAL_0A = 320'd0, INITVAL_0B = 320'd0;
    parameter INITVAL_0C = 320'd0, INITVAL_0D = 320'd0, INITVAL_0E = 320'd0, INITVAL_0F = 320'd0;
    parameter INITVAL_10 = 320'd0, INITVAL_11 = 320'd0, INITVAL_12 = 320'd0, INITVAL_13 = 320'd0;
    parameter INITVAL_14 = 320'd0, INITVAL_15 = 320'd0, INITVAL_16 = 320'd0, INITVAL_17 = 320'd0;
    parameter INITVAL_18 = 320'd0, INITVAL_19 = 320'd0, INITVAL_1A = 320'd0, INITVAL_1B = 320'd0;
    parameter INITVAL_1C = 320'd0, INITVAL_1D = 320'd0, INITVAL_1E = 320'd0, INITVAL_1F = 320'd0;
    parameter INITVAL_20 = 320'd0, INITVAL_21 = 320'd0, INITVAL_22 = 320'd0, INITVAL_23 = 320'd0;
    parameter INITVAL_24 = 320'd0, INITVAL_25 = 320'd0, INITVAL_26 = 320'd0, INITVAL_27 = 320'd0;
    parameter INITVAL_28 = 320'd0, INITVAL_29 = 320'd0, INITVAL_2A = 320'd0, INITVAL_2B = 320'd0;
    parameter INITVAL_2C = 320'd0, INITVAL_2D = 320'd0, INITVAL_2E = 320'd0, INITVAL_2F = 320'd0;
    parameter INITVAL_30 = 320'd0, INITVAL_31 = 320'd0, INITVAL_32 = 320'd0, INITVAL_33 = 320'd0;
    parameter INITVAL_34 = 320'd0, INITVAL_35 = 320'd0, INITVAL_36 = 320'd0, INITVAL_37 = 320'd0;
    parameter INITVAL_38 = 320'd0, INITVAL_39 = 320'd0, INITVAL_3A = 320'd0, INITVAL_3B = 320'd0;
    parameter INITVAL_3C = 320'd0, INITVAL_3D = 320'd0, INITVAL_3E = 320'd0, INITVAL_3F = 320'd0;
    localparam [64*320-1:0] INIT = {
        INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A, INITVAL_39,
        INITVAL_38, INITVAL_37, INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32,
        INITVAL_31, INITVAL_30, INITVAL_2F, INITVAL_2E, INITVAL_2D, INITVAL_2C, INITVAL_2B,
        INITVAL_2A, INITVAL_29, INITVAL_28, INITVAL_27, INITVAL_26, INITVAL_25, INITVAL_24,
        INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20, INITVAL_1F, INITVAL_1E, INITVAL_1D,
        INITVAL_1C, INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18, INITVAL_17, INITVAL_16,
        INITVAL_15, INITVAL_14, INITVAL_13, INITVAL_12, INITVAL_11, INITVAL_10, INITVAL_0F,
        INITVAL_0E, INITVAL_0D, INITVAL_0C, INITVAL_0B, INITVAL_0A, INITVAL_09, INITVAL_08,
        INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03, INITVAL_02, INITVAL_01,
        INITVAL_00
    };

    wire clock_a = CLKA ^ (CLKAMUX == "INV"), clock_b = CLKB ^ (CLKBMUX == "INV");
    reg [8:0] bytes [0:2047];
    integer at;
    initial
        for (at = 0; at < 2048; at = at + 1)
            bytes[at] = INIT[(at / 2) * 20 + (at % 2) * 9 +: 9];

    wire [13:0] ada =
        {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0};
    wire [13:0] adb =
        {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0};
    wire [35:0] di = {
        DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4,
        DIB3, DIB2, DIB1, DIB0, DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8,
        DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0
    };

    // Writes: 36 bits wide by A with a byte's enable each in ADA3 to ADA0, else by either port.
    wire write_a = CEA & WEA, write_b = CEB & WEB;
    wire [10:0] base_a = ada[13:3], base_b = adb[13:3];
    always @(posedge clock_a)
        if (write_a) begin
            if (DATA_WIDTH_A == 36) begin
                if (ada[0]) bytes[{base_a[10:2], 2'd0}] <= di[8:0];
                if (ada[1]) bytes[{base_a[10:2], 2'd1}] <= di[17:9];
                if (ada[2]) bytes[{base_a[10:2], 2'd2}] <= di[26:18];
                if (ada[3]) bytes[{base_a[10:2], 2'd3}] <= di[35:27];
            end else if (DATA_WIDTH_A == 18) begin
                if (ada[0]) bytes[{base_a[10:1], 1'd0}] <= di[8:0];
                if (ada[1]) bytes[{base_a[10:1], 1'd1}] <= di[17:9];
            end else if (DATA_WIDTH_A == 9) bytes[base_a] <= di[8:0];
        end
    always @(posedge clock_b)
        if (write_b) begin
            if (DATA_WIDTH_B == 18) begin
                if (adb[0]) bytes[{base_b[10:1], 1'd0}] <= di[26:18];
                if (adb[1]) bytes[{base_b[10:1], 1'd1}] <= di[35:27];
            end else if (DATA_WIDTH_B == 9) bytes[base_b] <= di[26:18];
        end

    // Reads: a register in the block, and with OUTREG one more. Where A writes 36 bits, both are
    // B's; what is narrower than 36 bits then comes on B.
    function [17:0] narrow(input integer width, input [13:0] ad, input [8:0] high, input [8:0] low);
        case (width)
            18: narrow = {high, low};
            9: narrow = low;
            4: narrow = low[4 * ad[2] +: 4];
            2: narrow = low[2 * ad[2:1] +: 2];
            default: narrow = low[ad[2:0]];
        endcase
    endfunction
    localparam WIDE = DATA_WIDTH_B == 36;
    wire [10:0] odd_a = DATA_WIDTH_A == 18 ? {base_a[10:1], 1'd1} : base_a;
    wire [10:0] even_a = DATA_WIDTH_A == 18 ? {base_a[10:1], 1'd0} : base_a;
    wire [10:0] odd_b = WIDE ? {base_b[10:2], 2'd3}
        : DATA_WIDTH_B == 18 ? {base_b[10:1], 1'd1} : base_b;
    wire [10:0] even_b = WIDE ? {base_b[10:2], 2'd2}
        : DATA_WIDTH_B == 18 ? {base_b[10:1], 1'd0} : base_b;
    localparam READ_B = WIDE ? 18 : DATA_WIDTH_B;
    reg [17:0] read_a = 0, read_b = 0, late_a = 0, late_b = 0;
    always @(posedge clock_b) begin
        if (RSTB) read_b <= 0;
        else if (CEB & ~WEB) read_b <= narrow(READ_B, adb, bytes[odd_b], bytes[even_b]);
        if (OCEB) late_b <= read_b;
    end
    generate
        if (DATA_WIDTH_A == 36) begin
            always @(posedge clock_b) begin
                if (RSTB) read_a <= 0;
                else if (CEB) read_a <= {bytes[{base_b[10:2], 2'd1}], bytes[{base_b[10:2], 2'd0}]};
                if (OCEB) late_a <= read_a;
            end
        end else begin
            always @(posedge clock_a) begin
                if (RSTA) read_a <= 0;
                else if (CEA & ~WEA)
                    read_a <= narrow(DATA_WIDTH_A, ada, bytes[odd_a], bytes[even_a]);
                if (OCEA) late_a <= read_a;
            end
        end
    endgenerate
    assign {
        DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4,
        DOA3, DOA2, DOA1, DOA0
    } = REGMODE_A == "OUTREG" ? late_a : read_a;
    assign {
        DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4,
        DOB3, DOB2, DOB1, DOB0
    } = REGMODE_B == "OUTREG" ? late_b : read_b;
endmodule
