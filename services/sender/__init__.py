"""Accept an email; get it to the relay, once, in time, or say why not."""
