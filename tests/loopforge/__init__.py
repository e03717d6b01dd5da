"""LoopForge: a scripted model behind OpenAI's chat completions, for proving that turns survive.

Every answer is a function of a seed and of the request's messages, so that any number of processes agree and
a call that is made again gets the same answer; the final answer is a digest of all that the model saw.
"""
