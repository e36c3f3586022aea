// SPDX-License-Identifier: GPL-2.0
/*
 * All that cabatree shows: a tree, both, a line of births, numbers, JSON, a
 * graph.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#include "cabatree.h"

#define DIM	"2"
#define RED	"31"
#define GREEN	"32"
#define YELLOW	"33"
#define CYAN	"36"

bool utf8, colours, show_user, show_start;

void clear_text(struct text *text)
{
	if (!text->limit)
		text->limit = INT_MAX;
	text->len = 0;
	text->width = 0;
}

static void add_bytes(struct text *text, const char *s, size_t n)
{
	while (text->len + n >= text->max)
		text->s = grow(text->s, text->max, &text->max, 1);
	memcpy(text->s + text->len, s, n);
	text->len += n;
	text->s[text->len] = 0;
}

/* Where one has no room any more, nothing behind it is to be seen either. */
static void add_char(struct text *text, const char *s, size_t n, int width)
{
	if (width > text->limit - text->width) {
		text->limit = text->width;
		return;
	}
	add_bytes(text, s, n);
	text->width += width;
}

/* Of characters that have one column and one byte each. */
void add_text(struct text *text, const char *s)
{
	size_t n = strlen(s);

	if (n <= (size_t)(text->limit - text->width)) {
		add_bytes(text, s, n);
		text->width += n;
		return;
	}
	for (; *s; s++)
		add_char(text, s, 1, 1);
}

/* NULL: back to none */
void add_colour(struct text *text, const char *code)
{
	char s[16];

	if (colours)
		add_bytes(text, s, snprintf(s, sizeof(s), "\033[%sm", code ? code : "0"));
}

/*
 * Names and command lines are anyone's to choose. What is not a character
 * with a column of its own is shown as \ooo, the way the kernel does it.
 * @escaped: backslashes are escaped already, as in the kernel's "Name:".
 */
static void add_name(struct text *text, const char *s, size_t len, bool escaped)
{
	char octal[8];
	size_t i, n;
	wchar_t wc;

	for (; len; s += n, len -= n) {
		mbstate_t state = {};

		if (*s > ' ' && *s < 127 && (*s != '\\' || escaped)) {
			n = 1;
			add_char(text, s, 1, 1);
			continue;
		}
		n = mbrtowc(&wc, s, len, &state);
		if (!n || n > len) {
			n = 1;
			wc = 0;
		}
		if (wc == '\\') {
			add_text(text, "\\\\");
		} else if (wc && wcwidth(wc) > 0) {
			add_char(text, s, n, wcwidth(wc));
		} else {
			for (i = 0; i < n; i++) {
				snprintf(octal, sizeof(octal), "\\%03o", (unsigned char)s[i]);
				add_text(text, octal);
			}
		}
	}
}

/* Asked for once each: there are few, and looking them up may take long. */
static const char *user_name(uid_t uid)
{
	static struct user {
		uid_t uid;
		char *name;
	} *users;
	static size_t nr, max;
	struct text text = {};
	struct passwd *pw;
	char number[16];
	size_t i;

	if (uid == (uid_t)-1)
		return "?";
	for (i = 0; i < nr; i++) {
		if (users[i].uid == uid)
			return users[i].name;
	}
	clear_text(&text);
	pw = getpwuid(uid);
	snprintf(number, sizeof(number), "%u", uid);
	if (pw)
		add_name(&text, pw->pw_name, strlen(pw->pw_name), false);
	else
		add_text(&text, number);
	users = grow(users, nr, &max, sizeof(*users));
	users[nr++] = (struct user){ uid, text.s };
	return text.s;
}

/* @brief: only the time if it was today, only the day if not */
static const char *start_time(const struct proc *p, bool brief)
{
	time_t start = p->start, now = time(NULL);
	static char s[64];
	struct tm tm, today;

	if (!start || !localtime_r(&start, &tm) || !localtime_r(&now, &today))
		return "?";
	if (!brief)
		strftime(s, sizeof(s), "%F %T", &tm);
	else if (tm.tm_year == today.tm_year && tm.tm_yday == today.tm_yday)
		strftime(s, sizeof(s), "%T", &tm);
	else
		strftime(s, sizeof(s), "%F", &tm);
	return s;
}

static const char *branch(bool self, bool last)
{
	if (utf8)
		return self ? (last ? "└─ " : "├─ ") : (last ? "   " : "│  ");
	return self ? (last ? "`- " : "|- ") : (last ? "   " : "|  ");
}

static bool differs(const struct proc *p)
{
	return p->has_caba && p->up[BY_PPID] != p->up[BY_CABA];
}

static void add_value(struct text *text, const char *gap, const char *key, const char *value)
{
	add_text(text, gap);
	add_text(text, key);
	add_text(text, value);
}

static void add_label(struct text *text, const struct proc *p, const char *gap)
{
	static const char * const mark_colour[] = {
		[CAME] = GREEN, [WENT] = RED, [MOVED] = CYAN,
	};
	const char *colour = p->mark ? mark_colour[p->mark] : differs(p) ? YELLOW : NULL;
	char s[32];

	if (colour)
		add_colour(text, colour);
	add_name(text, p->name, strlen(p->name), true);
	if (colour)
		add_colour(text, NULL);
	snprintf(s, sizeof(s), "(%d)", p->pid);
	add_text(text, s);
	add_colour(text, DIM);
	if (p->sid >= 0) {
		snprintf(s, sizeof(s), "%d", p->sid);
		add_value(text, gap, "sid=", s);
	}
	if (p->nspid)
		add_value(text, gap, "nspid=", p->nspid);
	if (show_user)
		add_value(text, gap, "user=", user_name(p->uid));
	if (show_start)
		add_value(text, gap, "start=", start_time(p, true));
	add_colour(text, NULL);
	if (p->zombie) {
		add_colour(text, RED);
		add_value(text, gap, "zombie", "");
		add_colour(text, NULL);
	}
}

void draw_one(struct text *text, const struct proc *p, const struct proc *top, int t)
{
	static const char **prefix;
	static size_t max;
	const struct proc *q;
	size_t depth = 0;

	for (q = p; q != top && q->parent[t] != &root; q = q->parent[t]) {
		prefix = grow(prefix, depth, &max, sizeof(*prefix));
		prefix[depth++] = branch(q == p, !q->next[t]);
	}
	if (depth) {
		add_colour(text, DIM);
		while (depth--)
			add_char(text, prefix[depth], strlen(prefix[depth]), 3);
		add_colour(text, NULL);
	}
	add_label(text, p, " ");
}

void show_one(struct proc *top, int t)
{
	struct text text = {};
	struct proc *p;

	for (p = first(top, t); p; p = after(p, top, t)) {
		clear_text(&text);
		draw_one(&text, p, top, t);
		puts(text.s);
	}
	free(text.s);
}

void show_both(struct proc *top)
{
	static const char * const mark[] = { "  ", "* " };
	static const char left_head[] = "by PPid: who is parent now";
	static const char right_head[] = "by NScaba: who started it and still lives";
	struct proc *left = first(top, BY_PPID), *right = first(top, BY_CABA), *p;
	int width = strlen(left_head);
	struct text text = {};
	bool any = false;

	for (p = left; p; p = after(p, top, BY_PPID)) {
		clear_text(&text);
		draw_one(&text, p, top, BY_PPID);
		if (text.width > width)
			width = text.width;
	}

	printf("  %-*s    %s\n", width, left_head, right_head);
	while (left || right) {
		clear_text(&text);
		if (left) {
			add_text(&text, mark[differs(left)]);
			draw_one(&text, left, top, BY_PPID);
			any |= differs(left);
			left = after(left, top, BY_PPID);
		}
		if (right) {
			while (text.width < width + 4)
				add_text(&text, " ");
			add_text(&text, mark[differs(right)]);
			draw_one(&text, right, top, BY_CABA);
			any |= differs(right);
			right = after(right, top, BY_CABA);
		}
		puts(text.s);
	}
	if (any)
		puts("* PPid and NScaba differ");
	free(text.s);
}

/* As ps shows it: the name in brackets for who has none. */
static void add_command(struct text *text, const struct proc *p)
{
	size_t len = 0, i;
	char path[32];
	char *args;

	snprintf(path, sizeof(path), "%d/cmdline", p->pid);
	args = p->fd < 0 ? slurp(proc_fd, path, &len) : slurp(p->fd, "cmdline", &len);
	while (len && !args[len - 1])
		len--;
	for (i = 0; i < len; i++) {
		if (!args[i])
			args[i] = ' ';
	}
	if (len) {
		add_name(text, args, len, false);
	} else {
		add_text(text, "[");
		add_name(text, p->name, strlen(p->name), true);
		add_text(text, "]");
	}
}

static int wider(int width, int now)
{
	return now > width ? now : width;
}

void show_who(struct proc *who, int t)
{
	int pid_width = 0, name_width = 0, user_width = 0;
	const char *why = NULL;
	struct text text = {};
	struct proc *p;
	char s[32];

	for (p = who; p != &root; p = p->parent[t]) {
		pid_width = wider(pid_width, snprintf(NULL, 0, "%d", p->pid));
		pid_width = wider(pid_width, snprintf(NULL, 0, "%d", p->up[t]));
		clear_text(&text);
		add_name(&text, p->name, strlen(p->name), true);
		name_width = wider(name_width, text.width);
		user_width = wider(user_width, strlen(user_name(p->uid)));
	}
	for (p = who; ; p = p->parent[t]) {
		clear_text(&text);
		snprintf(s, sizeof(s), "%*d  ", pid_width, p->pid);
		add_text(&text, s);
		if (differs(p))
			add_colour(&text, YELLOW);
		add_name(&text, p->name, strlen(p->name), true);
		if (differs(p))
			add_colour(&text, NULL);
		while (text.width < pid_width + 2 + name_width + 2)
			add_text(&text, " ");
		add_text(&text, user_name(p->uid));
		while (text.width < pid_width + 2 + name_width + 2 + user_width + 2)
			add_text(&text, " ");
		add_colour(&text, DIM);
		add_value(&text, start_time(p, false), "  ", "");
		add_colour(&text, NULL);
		add_command(&text, p);
		puts(text.s);
		if (p->parent[t] == &root)
			break;
	}
	free(text.s);

	if (p->up[t] && find(p->up[t], nr_procs))
		why = "processes came and went meanwhile: try again";
	else if (p->up[t])
		why = "not visible from here";
	else if (p->pid != 1 && !p->kthread)
		why = "outside this pid namespace";
	if (why)
		printf("%*d  ?  (%s)\n", pid_width, p->up[t], why);
}

/* Who lives below @top; not we, who are over before anyone can read it. */
void show_pids(struct proc *top, int t, bool strays)
{
	pid_t self = own_pid();
	struct proc *p;

	for (p = after(top, top, t); p; p = after(p, top, t)) {
		if (!p->zombie && p->pid != self && (!strays || is_stray(p, top)))
			printf("%d\n", p->pid);
	}
}

/* How many bytes the character at @s has; 0: it is none. */
static size_t utf8_length(const char *s)
{
	static const wchar_t least[] = { 0, 0x80, 0x800, 0x10000 };
	const unsigned char *c = (const unsigned char *)s;
	size_t n = 0, i;
	wchar_t wc;

	if (*c < 0x80)
		return 1;
	if (*c >= 0xc0 && *c < 0xf8)
		n = *c < 0xe0 ? 2 : *c < 0xf0 ? 3 : 4;
	wc = *c & (0x7f >> n);
	for (i = 1; i < n; i++) {
		if ((c[i] & 0xc0) != 0x80)
			return 0;
		wc = wc << 6 | (c[i] & 0x3f);
	}
	if (n && (wc < least[n - 1] || wc > 0x10ffff || (wc >= 0xd800 && wc < 0xe000)))
		return 0;
	return n;
}

/* Whatever the locale is: what is not UTF-8 becomes \ooo. */
static void write_json_string(const char *s)
{
	size_t n;

	putchar('"');
	for (; *s; s += n ? n : 1) {
		n = utf8_length(s);
		if (!n)
			printf("\\\\%03o", (unsigned char)*s);
		else if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if ((unsigned char)*s < ' ' || *s == 127)
			printf("\\u%04x", *s);
		else
			fwrite(s, n, 1, stdout);
	}
	putchar('"');
}

static void write_json_id(const char *key, bool known, unsigned int id)
{
	if (known)
		printf(",\"%s\":%u", key, id);
	else
		printf(",\"%s\":null", key);
}

void show_json(struct proc *top, int t)
{
	const char *gap = "\n";
	struct proc *p;

	putchar('[');
	for (p = first(top, t); p; p = after(p, top, t)) {
		printf("%s{\"pid\":%d,\"ppid\":%d", gap, p->pid, p->up[BY_PPID]);
		write_json_id("caba", p->has_caba, p->up[BY_CABA]);
		write_json_id("sid", p->sid >= 0, p->sid);
		printf(",\"nspid\":[%s]", p->nspid ? p->nspid : "");
		write_json_id("uid", p->uid != (uid_t)-1, p->uid);
		printf(",\"start\":%lld,\"state\":\"%c\"", p->start, p->state);
		printf(",\"zombie\":%s", p->zombie ? "true" : "false");
		printf(",\"kthread\":%s,\"name\":", p->kthread ? "true" : "false");
		write_json_string(p->name);
		putchar('}');
		gap = ",\n";
	}
	puts("\n]");
}

static void write_dot_label(const char *s)
{
	for (; *s; s++) {
		if (*s == '&')
			fputs("&amp;", stdout);
		else if (*s == '\n')
			fputs("\\n", stdout);
		else if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else
			putchar(*s);
	}
}

void write_dot(struct proc *top, bool use[TREES])
{
	struct text text = {};
	struct proc *p;
	int t;

	colours = false;
	puts("digraph cabatree {\n\tnode [shape=box];");
	for (t = TREES; t-- > 0;) {
		if (!use[t])
			continue;
		for (p = first(top, t); p; p = after(p, top, t)) {
			if (!p->drawn) {
				clear_text(&text);
				add_label(&text, p, "\n");
				printf("\t%d [label=\"", p->pid);
				write_dot_label(text.s);
				puts("\"];");
				p->drawn = true;
			}
			if (p == top || p->parent[t] == &root)
				continue;
			if (t == BY_CABA || !use[BY_CABA])
				printf("\t%d -> %d;\n", p->parent[t]->pid, p->pid);
			else if (p->up[BY_PPID] != p->up[BY_CABA])
				printf("\t%d -> %d [style=dashed, label=\"PPid\"];\n",
				       p->parent[t]->pid, p->pid);
		}
	}
	puts("}");
	free(text.s);
}
