"""The page for people: server-rendered, live where there is JavaScript, whole where there is none.

Everything from outside is escaped by htpy; nothing is marked safe but what was rendered by it.
"""
