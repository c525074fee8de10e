"""A local server that speaks Gemini's REST protocol: for tests, benchmarks and trying things out without money.

`server` is where to start. Answers are the rules' (`resources.answer_rules`), faults are scripted (`faults`), and every
call is counted (`counters`).
"""
