"""What holds for every test."""

from hypothesis import settings

settings.register_profile("perflens", deadline=None)  # how fast an example is says nothing of whether it is right
settings.load_profile("perflens")
