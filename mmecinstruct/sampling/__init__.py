"""Sample the raw tables: choose the records that samples may be made from.

The recipe's sizes then bound the work of all later stages.
"""
