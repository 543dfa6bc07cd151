"""From the text of an expression to the expression: tokens, scanner and parser. Nothing here evaluates."""
