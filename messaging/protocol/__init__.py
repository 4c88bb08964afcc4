"""The protocol between portal and devices: pure, without I/O and without Django.

`topics` names and reads topics, `codec` turns commands into bytes and answers from bytes, `matcher` decides which command may go
when and which answer is whose.
"""
