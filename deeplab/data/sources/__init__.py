"""Raw files as people have them: folders, lists, classes, images, masks, and what is wrong."""
