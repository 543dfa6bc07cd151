# Whether the documents are one configuration. Names have letters, digits and underscores, so nothing has to quote them.
def printable: type == "string" and (explode | all(. >= 32));
def fits(name; test): (has(name) | not) or (.[name] | test);

length == 1 and (.[0] |
    type == "object"
    and (keys - ["database", "host", "password", "port", "prefix", "sslmode", "sslrootcert", "username"] == [])
    and (.host | type == "string" and test("\\A[A-Za-z0-9._:-]+\\z"))
    and fits("port"; type == "number" and . == floor and . >= 1 and . <= 65535)
    and fits("database"; printable)
    and fits("username"; printable)
    # A variable of the environment cannot hold a zero character.
    and fits("password"; type == "string" and (explode | all(. > 0)))
    and fits("sslmode"; . as $mode | ["disable", "prefer", "require", "verify-ca", "verify-full"] | any(. == $mode))
    and fits("sslrootcert"; type == "string")
    and fits("prefix"; type == "string" and test("\\A[a-z][a-z0-9_]{0,19}\\z")))
