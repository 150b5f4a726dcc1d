"""Which neurons follow which hand-crafted features?"""
