"""Small designs around the multipliers and block RAMs of an ECP5, and what moves into those."""

# Registers around p <= a * b and behind memories, in other surroundings: Verilog, then what is
# inside of each multiplier's (A, B, P) and of each block RAM's (A, B).
MODULE = """
module t(
    input clk, input rst, input en, input we, input [5:0] row, input [35:0] in, output [31:0] out
);
    wire [15:0] x = in[15:0], y = in[31:16];
    wire [11:0] address = {in[5:0], row};
    reg [15:0] a = 0, b = 0, late = 0, later = 0, read = 0;
    reg [31:0] p = 0, q = 0;
    reg [15:0] rom [0:1023];
    integer at;
    initial for (at = 0; at < 1024; at = at + 1) rom[at] = at * 40503;
    BODY
endmodule
"""
ON = "always @(posedge clk)"
READ = "if (en) read <= rom[address[9:0]];"
ALL, NONE, OUT = (True, True, True), (False, False, False), (False, False, True)
IN = (True, True, False)
CASES = {
    "all": (f"{ON} if (en) begin a <= x; b <= y; p <= a * b; end assign out = p;", [ALL], []),
    "always": (f"{ON} begin a <= x; b <= y; p <= a * b; end assign out = p;", [ALL], []),
    "another_enable_behind": (
        f"{ON} begin if (en) begin a <= x; b <= y; end if (we) p <= a * b; end assign out = p;",
        *([OUT], []),
    ),
    "another_enable_before": (
        f"{ON} begin if (en) a <= x; if (we) b <= y; if (en) p <= a * b; end assign out = p;",
        *([OUT], []),
    ),
    "one_factor_comes_late": (
        f"{ON} if (en) begin a <= x; p <= a * y; end assign out = p;",
        *([OUT], []),
    ),
    "product_read_at_once": (
        f"{ON} if (en) begin a <= x; b <= y; p <= a * b; end assign out = p ^ (a * b);",
        *([IN], []),
    ),
    "product_with_reset": (
        f"{ON} begin if (en) begin a <= x; b <= y; end\n"
        "if (rst) p <= 0; else if (en) p <= a * b; end assign out = p;",
        *([IN], []),
    ),
    "another_clock_edge": (
        "always @(negedge clk) if (en) begin a <= x; b <= y; end\n"
        f"{ON} if (en) p <= a * b; assign out = p;",
        *([OUT], []),
    ),
    "ones_in_both": (
        f"{ON} if (en) begin a <= x; b <= y;\n"
        "p <= {a[15:1], 1'b1} * {b[15:1], 1'b1}; end assign out = p;",
        *([OUT], []),
    ),
    "starts_at_one": (
        f"reg [15:0] c = 1; {ON} if (en) begin c <= x; b <= y; p <= c * b; end assign out = p;",
        *([OUT], []),
    ),
    "kept": (
        f"(* keep *) reg [15:0] c = 0; {ON} if (en) begin c <= x; b <= y; p <= c * b; end\n"
        "assign out = p;",
        *([ALL], []),
    ),
    "kept_behind": (
        f"(* keep *) reg [31:0] r = 0; {ON} if (en) begin a <= x; b <= y; r <= a * b; end\n"
        "assign out = r;",
        *([ALL], []),
    ),
    # chains, in which a register could be taken from both sides
    "product_is_a_factor": (
        f"{ON} if (en) begin a <= x; b <= y; p <= a * b; q <= p[15:0] * b; end assign out = q;",
        *([ALL, OUT], []),
    ),
    "product_is_its_own_factor": (
        f"{ON} if (en) begin b <= y; p <= (p[15:0] + 16'd3) * b; q <= p; end assign out = q;",
        *([OUT], []),
    ),
    "product_by_itself": (
        f"{ON} if (en) begin b <= y; p <= p[15:0] * b; end assign out = p;",
        *([OUT], []),
    ),
    "memory_is_a_factor": (
        f"{ON} begin {READ} if (en) begin late <= read; a <= x; p <= late * a; end end\n"
        "assign out = p;",
        *([OUT], [(True, False)]),
    ),
    "memory_is_a_late_factor": (
        f"{ON} begin {READ} if (en) begin late <= read; later <= late; a <= x;\n"
        "p <= later * a; end end assign out = p;",
        *([ALL], [(True, False)]),
    ),
    "memory_is_a_factor_of_two": (
        f"{ON} begin {READ} if (en) begin late <= read; a <= x; b <= y;\n"
        "p <= late * a; q <= late * b; end end assign out = p ^ {q[15:0], q[31:16]};",
        *([OUT, OUT], [(True, False)]),
    ),
    # memories
    "register_with_reset": (
        f"{ON} begin {READ} if (rst) late <= 0; else if (en) late <= read; end\nassign out = late;",
        *([], [(False, False)]),
    ),
    "register_of_another_enable": (
        f"{ON} begin {READ} if (we) late <= read; end assign out = late;",
        *([], [(True, False)]),
    ),
    "register_of_another_edge": (
        f"always @(negedge clk) {READ}\n {ON} if (en) late <= read; assign out = late;",
        *([], [(False, False)]),
    ),
    "read_at_once": (
        f"{ON} begin {READ} if (en) late <= read; end assign out = {{late, read}};",
        *([], [(False, False)]),
    ),
    "read_with_reset": (
        f"{ON} begin if (rst) read <= 0; else if (en) read <= rom[address[9:0]];\n"
        "if (en) late <= read; end assign out = late;",
        *([], [(False, False)]),
    ),
    "written_wide_read_narrow": (
        "(* no_rw_check *) reg [35:0] ram [0:511]; reg [35:0] got = 0, gone = 0;\n"
        f"{ON} begin if (we) ram[in[8:0]] <= in; if (en) begin got <= ram[{{in[8:6], row}}];\n"
        "gone <= got; end end assign out = gone[35:4] ^ gone[31:0];",
        *([], [(True, True)]),
    ),
}
