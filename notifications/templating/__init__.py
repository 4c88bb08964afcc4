"""The words of notifications: what is said of each event, in the languages of those who read it. Pure, but for reading the texts
that are shipped.

An **Event** declares its variables; a **Draft** is a subject, a text, a short text for SMS and HTML with gaps for them; filled
with values it is the **Words** of one notification.
"""
