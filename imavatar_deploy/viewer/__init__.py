"""The viewer of avatars in a browser: its page and program, and the file of the avatar it draws."""
