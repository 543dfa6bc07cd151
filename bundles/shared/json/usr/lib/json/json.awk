# Reads one flat JSON object (RFC 8259) and writes every value, as it is, into a file of its own: dir/NAME.
#
#   awk -v dir=DIRECTORY -v known="host:string port:number" -f json.awk <config.json
#
# `known` names the properties that there may be, each with its type: string, number or boolean. Everything else
# (nested values, unknown or repeated names, broken JSON, a zero byte, which no shell variable can hold) is refused:
# one sentence on stderr, which never quotes a value, exit code 1, and no file. `what` is the subject of that
# sentence, "The configuration" where it is not set. It works on bytes, so run it with LC_ALL=C.

function fail(why) {
    # Not "> /dev/stderr": that opens a path, which a user other than the pipe's owner may not do.
    print (what == "" ? "The configuration" : what) " cannot be taken: " why "." | "cat 1>&2"
    failed = 1
    exit 1
}

function skip(count) { rest = substr(rest, count + 1) }

function blank() { sub(/^[ \t\r\n]+/, "", rest) }

function next_is(char) {
    blank()
    return substr(rest, 1, 1) == char
}

function expect(char, where) {
    if (!next_is(char)) fail("'" char "' is missing " where)
    skip(1)
}

function hex(digits,    value, i) {
    for (i = 1; i <= length(digits); i++)
        value = value * 16 + index("0123456789abcdef", tolower(substr(digits, i, 1))) - 1
    return value
}

# The four digits after \u, which is still in front of `rest`.
function code_unit() {
    if (rest !~ /^\\u[0-9A-Fa-f][0-9A-Fa-f][0-9A-Fa-f][0-9A-Fa-f]/) fail("a \\u escape is cut short")
    unit = hex(substr(rest, 3, 4))
    skip(6)
    return unit
}

function code_point(    high, low) {
    high = code_unit()
    if (high == 0) fail("it holds a zero character")
    if (high < 55296 || high > 57343) return high
    if (high > 56319 || substr(rest, 1, 2) != "\\u") fail("half of a surrogate pair is missing")
    low = code_unit()
    if (low < 56320 || low > 57343) fail("half of a surrogate pair is missing")
    return 65536 + (high - 55296) * 1024 + low - 56320
}

function utf8(code) {
    if (code < 128) return sprintf("%c", code)
    if (code < 2048) return sprintf("%c%c", 192 + int(code / 64), 128 + code % 64)
    if (code < 65536)
        return sprintf("%c%c%c", 224 + int(code / 4096), 128 + int(code / 64) % 64, 128 + code % 64)
    return sprintf("%c%c%c%c", 240 + int(code / 262144), 128 + int(code / 4096) % 64,
                   128 + int(code / 64) % 64, 128 + code % 64)
}

function escaped(    place) {
    if (substr(rest, 2, 1) == "u") return utf8(code_point())
    place = index("\"\\/bfnrt", substr(rest, 2, 1))
    if (place == 0 || length(rest) < 2) fail("an escape in a string is not JSON's")
    skip(2)
    return substr("\"\\/\b\f\n\r\t", place, 1)
}

function string(where,    text) {
    expect("\"", where)
    while (substr(rest, 1, 1) != "\"") {
        if (match(rest, /^[^"\\\001-\037]+/)) {
            text = text substr(rest, 1, RLENGTH)
            skip(RLENGTH)
        } else if (substr(rest, 1, 1) == "\\")
            text = text escaped()
        else
            fail(rest == "" ? "a string has no end" : "a control character stands in a string")
    }
    skip(1)
    return text
}

# Sets `value` and `type`.
function scalar(name) {
    if (next_is("\"")) {
        type = "string"
        value = string("")
    } else if (match(rest, /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/)) {
        type = "number"
        value = substr(rest, 1, RLENGTH)
        skip(RLENGTH)
    } else if (match(rest, /^(true|false)/)) {
        type = "boolean"
        value = substr(rest, 1, RLENGTH)
        skip(RLENGTH)
    } else
        fail("the value of '" name "' is no string, number or boolean")
}

function member(    name) {
    name = string("in front of a name")
    if (!(name in wanted)) fail("it has a property that is not known; those known are" names)
    if (name in values) fail("'" name "' is there twice")
    expect(":", "after '" name "'")
    scalar(name)
    if (type != wanted[name]) fail("the value of '" name "' is not a " wanted[name])
    values[name] = value
}

function object() {
    expect("{", "at its beginning")
    if (!next_is("}")) {
        member()
        while (next_is(",")) {
            skip(1)
            member()
        }
    }
    expect("}", "at its end")
    blank()
    if (rest != "") fail("something follows its end")
}

BEGIN {
    count = split(known, pairs, " ")
    for (i = 1; i <= count; i++) {
        split(pairs[i], pair, ":")
        wanted[pair[1]] = pair[2]
        names = names " " pair[1]
    }
}

{ rest = rest (NR > 1 ? "\n" : "") $0 }

END {
    if (failed) exit 1
    object()
    for (name in values) {
        printf "%s", values[name] >(dir "/" name)
        close(dir "/" name)
    }
}
