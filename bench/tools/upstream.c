// A stand-in for an OpenAI-compatible provider that costs next to nothing: one thread, epoll, keep-alive.
// A body with "stream":true is answered with server-sent events, one send() an event, the last one carrying usage and
// [DONE]; anything else with one JSON completion of about 1.2 kB. Requests whose body contains "paced" get their events
// --gap-us apart; the others as fast as the socket takes them. Each --stream gives requests whose head contains NEEDLE
// the events of a file instead (server-sent events as on the wire, at most 4 of them), whatever their body says.
//
//   upstream [--port N] [--events 200] [--gap-us 5000] [--stream NEEDLE=FILE]...
//                                                           prints {"port":N} when it listens; 0 picks a free port
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { STREAMS_MAX = 5, IN_MAX = 1 << 20, EVENTS_MAX = 4096, READY_MAX = 256, OUT_MAX = 1 << 18 };

typedef struct {
  char *bytes;
  size_t length;
} Piece;

typedef struct {
  const char *needle;
  Piece *events;
  int count;
} Stream;

// What could not be sent at once waits in `pending`: a proxy that reads slowly must not stop the other streams.
typedef struct Conn {
  int fd;
  int open;
  int queued;
  int writable_wanted;
  char *in;
  size_t in_length, in_capacity;
  int next_event; // -1 while no stream runs
  const Stream *stream;
  int paced;
  uint64_t due_us;
  char *pending;
  size_t pending_length;
  struct Conn *next;
} Conn;

static int epoll_fd;
static int event_count = 200;
static Stream streams[STREAMS_MAX]; // the first is composed here
static int stream_count = 1;
static uint64_t gap_us = 5000;
static Piece answer, stream_head, events[EVENTS_MAX];
static Conn *due_first, *due_last;

static uint64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static Piece piece(const char *text) {
  Piece p = {strdup(text), strlen(text)};
  return p;
}

static void compose(void) {
  static char text[4096], body[3072], prose[1024];
  const char *sentence = "Every call names the balance that will pay before a single token is produced. ";
  while (strlen(prose) + strlen(sentence) < 620) strcat(prose, sentence);
  snprintf(body, sizeof body,
           "{\"id\":\"chatcmpl-bench0000000000000000000001\",\"object\":\"chat.completion\",\"created\":1790000000,"
           "\"model\":\"bench-upstream\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%s\","
           "\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{"
           "\"prompt_tokens\":137,\"completion_tokens\":112,\"total_tokens\":249,\"prompt_tokens_details\":{"
           "\"cached_tokens\":0,\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0,"
           "\"audio_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}},"
           "\"service_tier\":\"default\",\"system_fingerprint\":\"fp_bench\"}",
           prose);
  snprintf(text, sizeof text,
           "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\nx-request-id: req_bench\r\n\r\n%s",
           strlen(body), body);
  answer = piece(text);
  stream_head = piece(
      "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
      "transfer-encoding: chunked\r\nx-request-id: req_bench\r\n\r\n");
  const char *common =
      "data: {\"id\":\"chatcmpl-bench0000000000000000000002\",\"object\":\"chat.completion.chunk\","
      "\"created\":1790000000,\"model\":\"bench-upstream\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_bench\",";
  for (int i = 0; i < event_count; i++) {
    const char *usage = "\"usage\":null";
    char choices[256];
    int last = i == event_count - 1;
    if (i == 0) strcpy(choices, "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]");
    else if (i == event_count - 2) strcpy(choices, "\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]");
    else if (last) strcpy(choices, "\"choices\":[]");
    else snprintf(choices, sizeof choices, "\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word%d\"},\"logprobs\":null,\"finish_reason\":null}]", i);
    if (last)
      usage = "\"usage\":{\"prompt_tokens\":137,\"completion_tokens\":197,\"total_tokens\":334,\"prompt_tokens_details\":"
              "{\"cached_tokens\":0,\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0}}";
    snprintf(body, sizeof body, "%s%s,%s}\n\n%s", common, choices, usage, last ? "data: [DONE]\n\n" : "");
    snprintf(text, sizeof text, "%zx\r\n%s\r\n%s", strlen(body), body, last ? "0\r\n\r\n" : "");
    events[i] = piece(text);
  }
}

// The file's bytes as chunks, one an event: each ends with a blank line, LF or CR LF.
static void read_stream(Stream *s, const char *path) {
  static char text[IN_MAX];
  FILE *f = fopen(path, "r");
  size_t length = f == NULL ? 0 : fread(text, 1, sizeof text - 1, f);
  if (length == 0) {
    perror(path);
    exit(2);
  }
  fclose(f);
  text[length] = 0;
  s->events = calloc(EVENTS_MAX, sizeof *s->events);
  for (char *at = text; *at != 0 && s->count < EVENTS_MAX;) {
    char *lf = strstr(at, "\n\n"), *crlf = strstr(at, "\r\n\r\n"), *end = text + length;
    if (lf != NULL && (crlf == NULL || lf < crlf)) end = lf + 2;
    else if (crlf != NULL) end = crlf + 4;
    char *chunk = malloc((size_t)(end - at) + 64);
    size_t size = (size_t)sprintf(chunk, "%zx\r\n", (size_t)(end - at));
    memcpy(chunk + size, at, (size_t)(end - at));
    size += (size_t)(end - at);
    size += (size_t)sprintf(chunk + size, "\r\n%s", *end == 0 ? "0\r\n\r\n" : "");
    s->events[s->count++] = (Piece){chunk, size};
    at = end;
  }
}

static void watch(Conn *c, int writable) {
  struct epoll_event e = {.events = EPOLLIN | (writable ? EPOLLOUT : 0u), .data.ptr = c};
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
  c->writable_wanted = writable;
}

static void free_if_unused(Conn *c) {
  if (c->open || c->queued) return;
  free(c->in);
  free(c->pending);
  free(c);
}

static void hang_up(Conn *c) {
  if (!c->open) return;
  close(c->fd);
  c->open = 0;
  free_if_unused(c);
}

static int put(Conn *c, const Piece *p) {
  size_t sent = 0;
  if (c->pending_length == 0) {
    ssize_t n = send(c->fd, p->bytes, p->length, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) return -1;
    if (n > 0) sent = (size_t)n;
  }
  if (sent == p->length) return 0;
  if (c->pending == NULL) c->pending = malloc(OUT_MAX);
  if (c->pending_length + p->length - sent > OUT_MAX) return -1;
  memcpy(c->pending + c->pending_length, p->bytes + sent, p->length - sent);
  c->pending_length += p->length - sent;
  if (!c->writable_wanted) watch(c, 1);
  return 0;
}

static int flush(Conn *c) {
  ssize_t n = send(c->fd, c->pending, c->pending_length, MSG_NOSIGNAL);
  if (n < 0) return errno == EAGAIN ? 0 : -1;
  memmove(c->pending, c->pending + n, c->pending_length - (size_t)n);
  c->pending_length -= (size_t)n;
  if (c->pending_length == 0) watch(c, 0);
  return 0;
}

// All gaps are equal, so appending keeps the queue in the order of what is due.
static void wait_for_gap(Conn *c, uint64_t from_us) {
  c->due_us = from_us + gap_us;
  c->next = NULL;
  c->queued = 1;
  if (due_last != NULL) due_last->next = c;
  else due_first = c;
  due_last = c;
}

static int send_events(Conn *c) {
  while (c->next_event < c->stream->count) {
    if (put(c, &c->stream->events[c->next_event++]) < 0) return -1;
    if (c->paced && c->next_event < c->stream->count) {
      wait_for_gap(c, c->due_us == 0 ? now_us() : c->due_us);
      return 0;
    }
  }
  c->next_event = -1;
  return 0;
}

// Length of the first whole request in the buffer, 0 when it is not all there.
static size_t request_length(const Conn *c) {
  char *end = memmem(c->in, c->in_length, "\r\n\r\n", 4);
  if (end == NULL) return 0;
  size_t head = (size_t)(end - c->in) + 4, body = 0;
  int chunked = 0;
  for (char *line = c->in; line < end;) {
    char *next = memmem(line, (size_t)(end - line) + 2, "\r\n", 2);
    if (strncasecmp(line, "content-length:", 15) == 0) body = strtoul(line + 15, NULL, 10);
    if (strncasecmp(line, "transfer-encoding:", 18) == 0) chunked = 1;
    line = next + 2;
  }
  if (chunked) {
    char *last = memmem(c->in + head, c->in_length - head, "0\r\n\r\n", 5);
    return last == NULL ? 0 : (size_t)(last - c->in) + 5;
  }
  return c->in_length >= head + body ? head + body : 0;
}

static int asks(const Conn *c, size_t length, const char *what) {
  return memmem(c->in, length, what, strlen(what)) != NULL;
}

static const Stream *stream_for(const Conn *c, size_t length) {
  char *end = memmem(c->in, length, "\r\n\r\n", 4);
  for (int i = 1; i < stream_count; i++)
    if (memmem(c->in, (size_t)(end - c->in), streams[i].needle, strlen(streams[i].needle)) != NULL) return &streams[i];
  return asks(c, length, "\"stream\":true") || asks(c, length, "\"stream\": true") ? &streams[0] : NULL;
}

static int serve(Conn *c) {
  while (c->next_event < 0) {
    size_t length = request_length(c);
    if (length == 0) return 0;
    c->stream = stream_for(c, length);
    c->paced = asks(c, length, "paced");
    c->in_length -= length;
    memmove(c->in, c->in + length, c->in_length);
    if (c->stream == NULL) {
      if (put(c, &answer) < 0) return -1;
      continue;
    }
    c->next_event = 0;
    c->due_us = 0;
    if (put(c, &stream_head) < 0 || send_events(c) < 0) return -1;
  }
  return 0;
}

static int take(Conn *c) {
  if (c->in_length + 8192 > c->in_capacity) {
    if (c->in_capacity >= IN_MAX) return -1;
    c->in_capacity = c->in_capacity == 0 ? 16384 : c->in_capacity * 2;
    c->in = realloc(c->in, c->in_capacity);
  }
  ssize_t n = recv(c->fd, c->in + c->in_length, c->in_capacity - c->in_length, MSG_DONTWAIT);
  if (n < 0) return errno == EAGAIN ? 0 : -1;
  if (n == 0) return -1;
  c->in_length += (size_t)n;
  return serve(c);
}

static void welcome(int listener) {
  for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    Conn *c = calloc(1, sizeof *c);
    c->fd = fd;
    c->open = 1;
    c->next_event = -1;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
  }
}

static int listen_on(int port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof at;
  if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 4096) != 0) {
    perror("upstream: listen");
    exit(1);
  }
  getsockname(fd, (struct sockaddr *)&at, &size);
  printf("{\"port\":%d}\n", ntohs(at.sin_port));
  fflush(stdout);
  return fd;
}

static void send_what_is_due(void) {
  for (uint64_t now = now_us(); due_first != NULL && due_first->due_us <= now;) {
    Conn *c = due_first;
    due_first = c->next;
    if (due_first == NULL) due_last = NULL;
    c->queued = 0;
    if (!c->open) free_if_unused(c);
    else if (send_events(c) < 0 || (c->next_event < 0 && serve(c) < 0)) hang_up(c);
  }
}

int main(int argc, char **argv) {
  int port = 0;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--port") == 0) port = atoi(argv[i + 1]);
    else if (strcmp(argv[i], "--events") == 0) event_count = atoi(argv[i + 1]);
    else if (strcmp(argv[i], "--gap-us") == 0) gap_us = strtoul(argv[i + 1], NULL, 10);
    else if (strcmp(argv[i], "--stream") == 0 && stream_count < STREAMS_MAX && strchr(argv[i + 1], '=') != NULL) {
      char *equals = strchr(argv[i + 1], '=');
      *equals = 0;
      streams[stream_count].needle = argv[i + 1];
      read_stream(&streams[stream_count++], equals + 1);
    }
  }
  if (event_count < 3 || event_count > EVENTS_MAX) return 2;
  signal(SIGPIPE, SIG_IGN);
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  compose();
  streams[0] = (Stream){NULL, events, event_count};
  epoll_fd = epoll_create1(0);
  int listener = listen_on(port);
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL}, ready[READY_MAX];
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &e);
  for (;;) {
    struct timespec wait = {0, 0}, *limit = NULL;
    if (due_first != NULL) {
      uint64_t now = now_us(), left = due_first->due_us > now ? due_first->due_us - now : 0;
      wait.tv_sec = (time_t)(left / 1000000u);
      wait.tv_nsec = (long)(left % 1000000u) * 1000;
      limit = &wait;
    }
    int count = epoll_pwait2(epoll_fd, ready, READY_MAX, limit, NULL);
    for (int i = 0; i < count; i++) {
      Conn *c = ready[i].data.ptr;
      if (c == NULL) {
        welcome(listener);
        continue;
      }
      int failed = 0;
      if ((ready[i].events & EPOLLOUT) != 0 && c->pending_length > 0) failed = flush(c) < 0;
      if (!failed && (ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) failed = take(c) < 0;
      if (failed) hang_up(c);
    }
    send_what_is_due();
  }
}
