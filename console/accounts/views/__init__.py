"""Pages about people: settings, API keys, users, audit."""
