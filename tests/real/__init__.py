"""The real counterparts that roads and lab share: rpm systems and their repository, a registry. Who uses a server runs it by his own means."""


class Failed(Exception):
    """What does not hold, or cannot be made, in a line."""
