/* Counts the lines of a file, and its longest one.

   clang --target=wasm32-wasi --sysroot=/usr -O2 -s -o lines.wasm lines.c */
#include <stdio.h>

int main(void) {
	static char buffer[1 << 16];
	unsigned long lines = 0, length = 0, longest = 0;
	size_t n;
	while ((n = fread(buffer, 1, sizeof buffer, stdin)) > 0) {
		for (size_t i = 0; i < n; i++) {
			if (buffer[i] == '\n') {
				lines++;
				length = 0;
			} else if (++length > longest) {
				longest = length;
			}
		}
	}
	if (ferror(stdin)) {
		fprintf(stderr, "cannot read\n");
		return 1;
	}
	printf("{\"lines\": {\"count\": %lu, \"longest\": %lu}}\n", lines, longest);
	return 0;
}
