"""Which activation maps look like which feature maps?"""
