"""The record of a game: a journal on disk, documents in MongoDB, reports from either.

A system of the server encodes what it sees (`sampling`, `suspects`), a thread writes it
(`journal`), another process ships it (`shipper`), and reports read it wherever it is (`sources`,
`reports`).
"""
