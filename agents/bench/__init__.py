"""Measuring agent turns, beside other frameworks. Starts programs and reads what they print; imports neither
Django nor any framework."""
