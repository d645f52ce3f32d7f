"""The task: its fields, its moves, its row in DynamoDB, its JSON and its events.

Every conditional write to the tasks table has a name in ``table``. Imports the ground modules only.
"""
