"""What a type checker knows of a program that uses the library."""
