"""Columns and tables of grains and pores."""
