# Whether the documents are one configuration of an instance.
def fits(name; test): (has(name) | not) or (.[name] | test);

length == 1 and (.[0] |
    type == "object"
    and (keys - ["connection_limit", "database", "extensions"] == [])
    and fits("database"; type == "string" and test("\\A[a-z][a-z0-9_]{0,62}\\z"))
    and fits("connection_limit"; type == "number" and . == floor and . >= 1 and . <= 262142)
    and fits("extensions"; type == "array" and all(type == "string" and test("\\A[a-z][a-z0-9_-]{0,62}\\z"))))
