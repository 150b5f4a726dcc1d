"""Which activation maps look like which feature maps?

Images: ``grid`` (the pixels of a layer in seconds and bands), ``segments`` (what of a recording an image
shows), ``images``, ``ranks`` (medians and percentiles). Comparing two: ``keypoints``, found by ``sift``,
``extrema`` and ``descriptors``; ``matches``, ``geometry`` (which matches agree), ``pairs`` (score). What is
``compiled`` is so for its speed. The run: ``settings``, ``feature_pass`` and ``channel_pass`` go over the
corpus, ``table`` holds the null and p. What is shown: ``look`` (pairs again, with all that there is to see),
``gallery``, ``figures``, ``summary``. ``run`` is the call, ``result`` what it returns.
"""
