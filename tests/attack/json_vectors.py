# SPDX-License-Identifier: MIT
"""JSON texts that a strict reader takes or refuses, by RFC 8259: written for these tests. VALID ones have to be taken,
INVALID ones refused; the CHOSEN are left to the implementation, and what this one does is written beside each."""

# Values, each put where V is: {"message":"m","x":V}
VALID = {
    "null": b"null", "true": b"true", "false": b"false", "zero": b"0", "minus_zero": b"-0", "one": b"1",
    "minus": b"-7",
    "many_digits": b"1234567890123456789", "fraction": b"0.5", "long_fraction": b"3.14159265358979323846264338",
    "exponent": b"1e5", "capital_exponent": b"2E5", "plus_exponent": b"1e+5", "minus_exponent": b"1E-5",
    "fraction_and_exponent": b"-12.5e-3", "zero_exponent": b"0e0", "zero_with_leading_zeros_in_exponent": b"1e007",
    "tiny": b"1e-999", "empty_string": b'""', "space_in_string": b'" "', "solidus": b'"/"',
    "escaped_solidus": rb'"\/"', "all_short_escapes": rb'"\"\\\/\b\f\n\r\t"', "escaped_letter": rb'"\u0041"',
    "escaped_nul": rb'"\u0000"', "mixed_case_escape": rb'"\u00eF\u00Ef"', "escaped_pair": rb'"\ud83d\uDE00"',
    "escaped_noncharacter": rb'"\uffff"', "raw_del": b'"\x7f"', "two_bytes": b'"\xc2\x80"',
    "three_bytes": b'"\xe0\xa0\x80"',
    "last_before_surrogates": b'"\xed\x9f\xbf"', "first_after_surrogates": b'"\xee\x80\x80"',
    "four_bytes": b'"\xf0\x90\x80\x80"', "last_code_point": b'"\xf4\x8f\xbf\xbf"',
    "raw_line_separator": b'"\xe2\x80\xa8"',
    "raw_bom_inside": b'"\xef\xbb\xbf"', "empty_array": b"[]", "array": b"[1,2,3]",
    "mixed_array": b'[null,"a",{},[],1.5]',
    "nested_array": b"[[[[[[]]]]]]", "empty_object": b"{}", "object": b'{"a":1,"b":[2]}', "empty_key": b'{"":0}',
    "key_with_escape": rb'{"\u0061\n":0}', "spaces": b' \t\r\n[ 1 , \n2\t] ', "same_key_twice": b'{"a":1,"a":2}',
    "key_like_a_method": b'{"__proto__":1,"toString":2}', "quotes_in_string": b'"\'"',
    "comment_in_string": b'"/*x*/ //"',
    "brackets_in_string": b'"]}[{"', "backslash_at_end": rb'"\\"', "words_in_string": b'"null"',
}

INVALID = {
    # numbers
    "leading_zero": b"01", "minus_leading_zero": b"-01", "two_zeros": b"00", "plus": b"+1", "only_minus": b"-",
    "two_minus": b"--1", "minus_space": b"- 1", "point_first": b".5", "minus_point": b"-.5", "point_last": b"1.",
    "point_exponent": b"1.e5", "two_points": b"1.2.3", "exponent_alone": b"1e", "exponent_sign_alone": b"1e+",
    "exponent_twice": b"1e5e5", "exponent_fraction": b"1e5.5", "exponent_first": b"e5", "hex": b"0x1f",
    "octal": b"0o17",
    "binary": b"0b1", "underscore": b"1_000", "comma_inside": b"1,000", "letter_last": b"1a", "suffix": b"1L",
    "nan": b"NaN",
    "minus_nan": b"-NaN", "infinity": b"Infinity", "minus_infinity": b"-Infinity", "inf": b"inf",
    "space_inside": b"1 2",
    "wide_digit": b"\xef\xbc\x91",
    # words
    "capital_null": b"NULL", "title_true": b"True", "capital_false": b"FALSE", "cut_null": b"nul", "cut_true": b"tru",
    "cut_false": b"fals", "long_true": b"truee", "undefined": b"undefined", "none": b"None", "bare_word": b"abc",
    "nothing": b"", "only_space": b" ",
    # strings
    "single_quotes": b"'a'", "backticks": b"`a`", "no_end": b'"a', "no_begin": b'a"', "raw_newline": b'"a\nb"',
    "raw_tab": b'"\t"', "raw_nul": b'"\x00"', "raw_escape": b'"\x1b"', "raw_unit_separator": b'"\x1f"',
    "raw_return": b'"\r"', "escape_x": rb'"\x41"', "escape_a": rb'"\a"', "escape_v": rb'"\v"',
    "escape_zero": rb'"\0"',
    "escape_quote": rb'"\'"', "escape_capital_u": rb'"\U0041"', "escape_space": rb'"\ "',
    "escape_line_end": b'"\\\n"',
    "escape_three_digits": rb'"\u004"', "escape_no_digits": rb'"\u"', "escape_bad_digit": rb'"\u00g0"',
    "escape_plus": rb'"\u+041"', "escape_braces": rb'"\u{41}"', "escape_at_end": b'"\\', "two_strings": b'"a""b"',
    "escape_multibyte": b'"\\\xc3\xa9"', "plus_between": b'"a"+"b"',
    # UTF-8
    "lone_continuation": b'"\x80"', "two_continuations": b'"\xbf\xbf"', "lone_lead": b'"\xc3"',
    "lead_and_letter": b'"\xc3a"',
    "cut_three": b'"\xe2\x82"', "cut_four": b'"\xf0\x9f\x98"', "overlong_slash": b'"\xc0\xaf"',
    "overlong_nul": b'"\xc0\x80"',
    "overlong_three": b'"\xe0\x80\xaf"', "overlong_four": b'"\xf0\x80\x80\xaf"', "overlong_c1": b'"\xc1\xbf"',
    "first_surrogate": b'"\xed\xa0\x80"', "last_surrogate": b'"\xed\xbf\xbf"',
    "pair_as_cesu": b'"\xed\xa0\xbd\xed\xb8\x80"',
    "beyond_last": b'"\xf4\x90\x80\x80"', "five_bytes": b'"\xf8\x88\x80\x80\x80"',
    "six_bytes": b'"\xfc\x84\x80\x80\x80\x80"',
    "byte_fe": b'"\xfe"', "byte_ff": b'"\xff"', "latin_1": b'"caf\xe9"', "utf_16": b'"a\x00"',
    "key_not_utf8": b'{"\xff":0}',
    # arrays
    "comma_last": b"[1,]", "comma_first": b"[,1]", "two_commas": b"[1,,2]", "only_comma": b"[,]",
    "no_comma": b"[1 2]",
    "colon": b"[1:2]", "array_no_end": b"[1", "array_wrong_end": b"[1}", "array_two_ends": b"[1]]",
    "semicolon": b"[1;2]",
    "array_of_nothing": b"[1,", "parentheses": b"(1)", "dots": b"[...]",
    # objects
    "object_comma_last": b'{"a":1,}', "object_comma_first": b'{,"a":1}', "object_two_commas": b'{"a":1,,"b":2}',
    "object_no_colon": b'{"a" 1}', "object_two_colons": b'{"a"::1}', "object_equals": b'{"a"=1}',
    "object_arrow": b'{"a"=>1}',
    "object_no_value": b'{"a":}', "object_no_key": b'{:1}', "object_only_key": b'{"a"}', "object_bare_key": b"{a:1}",
    "object_number_key": b"{1:1}", "object_null_key": b"{null:1}", "object_quote_key": b"{'a':1}",
    "object_no_comma": b'{"a":1 "b":2}',
    "object_wrong_end": b'{"a":1]', "object_set": b'{"a","b"}', "object_spread": b'{...a}',
    # what other readers take
    "block_comment": b"1/*x*/", "line_comment": b"1//x\n", "hash_comment": b"1 #x\n", "form_feed": b"\x0c1",
    "vertical_tab": b"\x0b1", "no_break_space": b"\xc2\xa01", "bom": b"\xef\xbb\xbf1", "nul": b"\x001",
    "date": b"2020-01-01",
    "regexp": b"/a/", "call": b"f(1)", "template": b"${a}", "tag": b"<null>", "backslash": b"\\u0031",
}

# Left to the implementation: taken (True) or refused here.
CHOSEN = {
    "huge_exponent": (b"1e999", True), "minus_huge_exponent": (b"-1e999", True),
    "twenty_digits": (b"12345678901234567890", True),
    "hundred_digits": (b"9" * 100, True), "lone_high_escape": (rb'"\ud800"', True),
    "lone_low_escape": (rb'"\udc00"', True),
    "swapped_escapes": (rb'"\udc00\ud800"', True), "two_high_escapes": (rb'"\ud800\ud800"', True),
    "high_and_letter": (rb'"\ud800a"', True), "high_and_escape": (rb'"\ud800\n"', True),
}

# Whole texts.
WHOLE_VALID = {
    "least": b'{"message":"m"}', "spaces_around": b' \t\r\n{ "message" : "m" } \r\n',
    "two": b'{"message":"m"}{"message":"n"}',
    "last_counts": b'{"message":1,"message":"m"}', "escaped_name": rb'{"\u006dessage":"m"}',
    "capital_name": b'{"MESSAGE":"m"}',
}
WHOLE_INVALID = {
    "array": b'["message","m"]', "string": b'"message"', "number": b"1", "word": b"true",
    "empty_object": b"{}", "no_text": b'{"message":1}', "null_text": b'{"message":null}',
    "empty_text": b'{"message":""}',
    "last_is_none": b'{"message":"m","message":1}', "other_name": b'{"messages":"m"}',
    "padded_name": b'{" message":"m"}',
    "cut": b'{"message":"m"', "cut_name": b'{"message', "only_brace": b"{", "closing_first": b"}",
    "utf_16": b'{\x00"\x00m\x00',
    "guard_of_others": b")]}'\n",
}
# Invalid, and then a message: the first is told to its sender, the second is taken.
WHOLE_RESUMED = {
    "bom_first": b'\xef\xbb\xbf{"message":"m"}', "sequence_mark": b'\x1e{"message":"m"}',
    "comma_before": b',{"message":"m"}',
    "assignment": b'x={"message":"m"}',
}
