"""Bytes to text in sections, whatever kind of file it is. Hostile files meet their libraries here, so this
package runs in the sandbox, or in a process of bounded memory and time (agents.documents.extraction); it
imports nothing of ours, and nothing of it is imported elsewhere but its words.
"""
