"""Links to other nodes: from sockets to messages and back.

    messages network     what travels; what the parts above know of the links
"""
