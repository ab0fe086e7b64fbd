// HTTP/1.1 load on 127.0.0.1: closed loop (every connection always busy) or open loop (a fixed rate, whatever the answers
// do; latency counts from the moment a request should have been sent, so that a stall is not hidden by sending less).
// Reads the CPU time of process trees from /proc at both ends of the measured window, and what the rest of the machine
// used besides. Prints one line of JSON; times are microseconds.
//
//   load --port N [--path P] [--body FILE] [--header 'a: b']... [--conns 32] [--rate 0] [--warm 1] [--secs 4]
//        [--tree name=pid]...
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

#include "measure.h"

enum { READY_MAX = 512, HEAD_MAX = 8192 };

// ---- one connection -------------------------------------------------------------------------------------------------

typedef enum { HEAD, COUNTED, UNTIL_CLOSE, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER } Part;

typedef struct Conn {
  int fd, busy, status;
  Part part;
  char head[HEAD_MAX];
  size_t head_length, left, line_length;
  uint64_t due_us, first_us, last_us;
  struct Conn *next_idle;
} Conn;

static int epoll_fd, port, measuring;
static char *request;
static size_t request_length;
static Conn *idle_first;
static Histogram latency, first_byte, between;
static uint64_t done, failed, refused, reconnects;
static char first_refusal[201];

static int open_connection(Conn *c) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int one = 1;
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    return 0;
  }
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e);
  return 1;
}

static void rest(Conn *c) {
  c->busy = 0;
  c->next_idle = idle_first;
  idle_first = c;
}

static void ask(Conn *c, uint64_t due_us) {
  c->busy = 1;
  c->status = 0;
  c->part = HEAD;
  c->head_length = c->left = c->line_length = 0;
  c->due_us = due_us;
  c->first_us = c->last_us = 0;
  for (int try = 0; try < 2; try++) {
    if (c->fd < 0 && !open_connection(c)) break;
    if (send(c->fd, request, request_length, MSG_NOSIGNAL) == (ssize_t)request_length) return;
    // A keep-alive connection that the server closed in the meantime; that is nobody's failure.
    close(c->fd);
    c->fd = -1;
    reconnects++;
  }
  if (measuring) failed++;
  rest(c);
}

static void finish(Conn *c, int whole) {
  uint64_t now = now_us();
  if (measuring) {
    if (!whole) failed++;
    else if (c->status != 200) {
      if (refused++ == 0) snprintf(first_refusal, sizeof first_refusal, "%.200s", c->head);
    } else {
      done++;
      note(&latency, now - c->due_us);
      note(&first_byte, c->first_us - c->due_us);
    }
  }
  rest(c);
}

static void read_head(Conn *c) {
  c->head[c->head_length] = 0;
  c->status = atoi(c->head + 9);
  char *length = strcasestr(c->head, "\r\ncontent-length:");
  if (length != NULL) {
    c->left = strtoul(length + 17, NULL, 10);
    c->part = COUNTED;
  } else c->part = strcasestr(c->head, "\r\ntransfer-encoding: chunked") != NULL ? CHUNK_SIZE : UNTIL_CLOSE;
}

// Every byte is accounted for by the framing; guessing the end from the last bytes would be wrong for some split.
static void feed(Conn *c, const char *bytes, size_t length) {
  size_t at = 0;
  while (at < length) {
    if (c->part == HEAD) {
      if (c->head_length + 1 >= HEAD_MAX) {
        close(c->fd);
        c->fd = -1;
        finish(c, 0);
        return;
      }
      c->head[c->head_length++] = bytes[at++];
      if (c->head_length >= 4 && memcmp(c->head + c->head_length - 4, "\r\n\r\n", 4) == 0) read_head(c);
      if (c->part == COUNTED && c->left == 0) {
        finish(c, 1);
        return;
      }
    } else if (c->part == COUNTED || c->part == CHUNK_DATA) {
      size_t n = length - at < c->left ? length - at : c->left;
      at += n;
      c->left -= n;
      if (c->left > 0) return;
      if (c->part == COUNTED) {
        finish(c, 1);
        return;
      }
      c->part = CHUNK_END;
    } else if (c->part == UNTIL_CLOSE) return;
    else {
      char byte = bytes[at++];
      if (byte == '\n') {
        if (c->part == CHUNK_END) c->part = CHUNK_SIZE;
        else if (c->part == CHUNK_SIZE) c->part = c->left == 0 ? TRAILER : CHUNK_DATA;
        else if (c->line_length == 0) {
          finish(c, 1);
          return;
        }
        c->line_length = 0;
      } else if (byte != '\r') {
        c->line_length++;
        if (c->part == CHUNK_SIZE) {
          int digit = byte >= '0' && byte <= '9' ? byte - '0' : (byte | 32) - 'a' + 10;
          c->left = c->left * 16 + (size_t)digit;
        }
      }
    }
  }
}

static void on_readable(Conn *c) {
  static char buffer[1 << 18];
  ssize_t n = recv(c->fd, buffer, sizeof buffer, MSG_DONTWAIT);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) {
    close(c->fd);
    c->fd = -1;
    if (c->busy) finish(c, c->part == UNTIL_CLOSE);
    return;
  }
  if (!c->busy) return;
  uint64_t now = now_us();
  if (c->first_us == 0) c->first_us = now;
  else if (measuring) note(&between, now - c->last_us);
  c->last_us = now;
  feed(c, buffer, (size_t)n);
}

// ---- the run --------------------------------------------------------------------------------------------------------

static char *slurp(const char *path, size_t *length) {
  FILE *f = fopen(path, "r");
  if (f == NULL) {
    perror(path);
    exit(2);
  }
  char *text = malloc(1 << 20);
  *length = fread(text, 1, 1 << 20, f);
  fclose(f);
  return text;
}

int main(int argc, char **argv) {
  const char *path = "/v1/chat/completions", *body_file = NULL;
  char headers[4096] = "";
  int conns = 32;
  double rate = 0, warm = 1, secs = 4;
  for (int i = 1; i + 1 < argc; i += 2) {
    char *name = argv[i], *value = argv[i + 1];
    if (strcmp(name, "--port") == 0) port = atoi(value);
    else if (strcmp(name, "--path") == 0) path = value;
    else if (strcmp(name, "--body") == 0) body_file = value;
    else if (strcmp(name, "--conns") == 0) conns = atoi(value);
    else if (strcmp(name, "--rate") == 0) rate = atof(value);
    else if (strcmp(name, "--warm") == 0) warm = atof(value);
    else if (strcmp(name, "--secs") == 0) secs = atof(value);
    else if (strcmp(name, "--header") == 0) {
      strncat(headers, value, sizeof headers - strlen(headers) - 3);
      strcat(headers, "\r\n");
    } else if (strcmp(name, "--tree") == 0 && tree_count < TREES_MAX && strchr(value, '=') != NULL) {
      char *equals = strchr(value, '=');
      *equals = 0;
      trees[tree_count++] = (Tree){.name = value, .pid = atoi(equals + 1)};
    } else {
      fprintf(stderr, "load: what is %s?\n", name);
      return 2;
    }
  }
  tick = (double)sysconf(_SC_CLK_TCK);
  signal(SIGPIPE, SIG_IGN);
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);

  size_t body_length = 0;
  char *body = body_file == NULL ? NULL : slurp(body_file, &body_length);
  request = malloc(body_length + sizeof headers + 1024);
  request_length = (size_t)sprintf(
      request, "%s %s HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: application/json\r\n%scontent-length: %zu\r\n\r\n",
      body == NULL ? "GET" : "POST", path, port, headers, body_length);
  if (body != NULL) memcpy(request + request_length, body, body_length);
  request_length += body_length;

  epoll_fd = epoll_create1(0);
  Conn *all = calloc((size_t)conns, sizeof *all);
  for (int i = 0; i < conns; i++) {
    all[i].fd = -1;
    rest(&all[i]);
  }
  uint64_t begun = now_us(), from = begun + (uint64_t)(warm * 1e6), until = from + (uint64_t)(secs * 1e6);
  uint64_t sent = 0, late_max = 0, measured_from = 0;
  double busy = 0, own = 0;
  struct epoll_event ready[READY_MAX];
  for (uint64_t now = begun; now < until; now = now_us()) {
    if (!measuring && now >= from) {
      measuring = 1;
      read_trees(0);
      busy = machine_busy();
      own = own_cpu();
      measured_from = now_us();
    }
    uint64_t sleep_us = 5000;
    if (rate <= 0) {
      while (idle_first != NULL) {
        Conn *c = idle_first;
        idle_first = c->next_idle;
        ask(c, now_us());
        if (!c->busy) break; // it could not connect; not at once again
      }
    } else {
      for (;;) {
        uint64_t due = begun + (uint64_t)((double)sent * 1e6 / rate);
        now = now_us();
        if (due > now) {
          if (due - now < sleep_us) sleep_us = due - now;
          break;
        }
        if (idle_first == NULL) {
          if (measuring && now - due > late_max) late_max = now - due;
          break;
        }
        Conn *c = idle_first;
        idle_first = c->next_idle;
        sent++;
        ask(c, due);
      }
    }
    struct timespec wait = {0, (long)sleep_us * 1000};
    int count = epoll_pwait2(epoll_fd, ready, READY_MAX, &wait, NULL);
    for (int i = 0; i < count; i++) {
      Conn *c = ready[i].data.ptr;
      if (c->fd >= 0) on_readable(c);
    }
  }
  double length = (double)(now_us() - measured_from) / 1e6;
  double foreign = machine_busy() - busy - (own_cpu() - own);
  double own_share = (own_cpu() - own) / length;
  read_trees(1);
  int busy_conns = 0;
  for (int i = 0; i < conns; i++) busy_conns += all[i].busy;
  printf("{\"seconds\":%.3f,\"done\":%lu,\"perSecond\":%.1f,\"failed\":%lu,\"refused\":%lu,\"reconnects\":%lu,"
         "\"lateUs\":%lu,\"active\":%d,\"p50Us\":%lu,\"p99Us\":%lu,\"p999Us\":%lu,\"maxUs\":%lu,\"firstByteP50Us\":%lu,"
         "\"firstByteP99Us\":%lu,\"betweenP50Us\":%lu,\"betweenP99Us\":%lu,\"trees\":{",
         length, done, (double)done / length, failed, refused, reconnects, late_max, busy_conns, percentile(&latency, 0.5),
         percentile(&latency, 0.99), percentile(&latency, 0.999), latency.max, percentile(&first_byte, 0.5),
         percentile(&first_byte, 0.99), percentile(&between, 0.5), percentile(&between, 0.99));
  for (int t = 0; t < tree_count; t++) {
    double user = trees[t].user[1] - trees[t].user[0], kernel = trees[t].kernel[1] - trees[t].kernel[0];
    foreign -= user + kernel;
    printf("%s\"%s\":{\"userSeconds\":%.3f,\"kernelSeconds\":%.3f}", t == 0 ? "" : ",", trees[t].name, user, kernel);
  }
  printf("},\"loadCores\":%.3f,\"foreignCores\":%.3f}\n", own_share, foreign / length);
  if (refused > 0) fprintf(stderr, "load: the first answer that was not 200: %s\n", first_refusal);
  return 0;
}
