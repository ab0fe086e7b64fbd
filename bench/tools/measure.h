// What load.c measures with: a clock, a histogram of latencies, and the CPU time of process trees.
#ifndef MEASURE_H
#define MEASURE_H

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { TREES_MAX = 8, PROCESSES_MAX = 8192, STEPS = 64, BUCKETS = STEPS * 48 };

static uint64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

// ---- histogram: 64 steps an octave, exact below 128 -----------------------------------------------------------------

typedef struct {
  uint64_t count[BUCKETS], total, max;
} Histogram;

static int bucket_of(uint64_t value) {
  if (value < 2 * STEPS) return (int)value;
  int shift = 63 - __builtin_clzll(value) - 6;
  int bucket = shift * STEPS + (int)(value >> shift);
  return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static uint64_t value_of(int bucket) {
  if (bucket < 2 * STEPS) return (uint64_t)bucket;
  int shift = bucket / STEPS - 1;
  return (uint64_t)(bucket - shift * STEPS) << shift;
}

static void note(Histogram *h, uint64_t value) {
  h->count[bucket_of(value)]++;
  h->total++;
  if (value > h->max) h->max = value;
}

static uint64_t percentile(const Histogram *h, double share) {
  uint64_t wanted = (uint64_t)((double)h->total * share + 0.999999), seen = 0;
  if (wanted == 0) return 0;
  for (int i = 0; i < BUCKETS; i++) {
    seen += h->count[i];
    if (seen >= wanted) return value_of(i);
  }
  return h->max;
}

// ---- CPU time -------------------------------------------------------------------------------------------------------

typedef struct {
  int pid, parent;
  double user, kernel;
} Process;

typedef struct {
  const char *name;
  int pid;
  double user[2], kernel[2];
} Tree;

static Tree trees[TREES_MAX];
static int tree_count;
static double tick;

static int read_process(int pid, Process *p) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  FILE *f = fopen(path, "r");
  if (f == NULL) return 0;
  size_t n = fread(text, 1, sizeof text - 1, f);
  fclose(f);
  text[n] = 0;
  char *after_name = strrchr(text, ')');
  unsigned long user, kernel;
  long child_user, child_kernel;
  if (after_name == NULL ||
      sscanf(after_name + 2, "%*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld", &p->parent, &user, &kernel,
             &child_user, &child_kernel) != 5)
    return 0;
  p->pid = pid;
  p->user = ((double)user + (double)child_user) / tick;
  p->kernel = ((double)kernel + (double)child_kernel) / tick;
  return 1;
}

// Time of ended children is in their parent's, so a tree only ever grows.
static void read_trees(int moment) {
  static Process all[PROCESSES_MAX];
  static int inside[PROCESSES_MAX];
  int count = 0;
  DIR *proc = opendir("/proc");
  for (struct dirent *e; (e = readdir(proc)) != NULL && count < PROCESSES_MAX;) {
    int pid = atoi(e->d_name);
    if (pid > 0 && read_process(pid, &all[count])) count++;
  }
  closedir(proc);
  for (int t = 0; t < tree_count; t++) {
    memset(inside, 0, sizeof inside);
    int grew = 1;
    for (int i = 0; i < count; i++) inside[i] = all[i].pid == trees[t].pid;
    while (grew) {
      grew = 0;
      for (int i = 0; i < count; i++)
        for (int j = 0; j < count && !inside[i]; j++)
          if (inside[j] && all[i].parent == all[j].pid) inside[i] = grew = 1;
    }
    trees[t].user[moment] = trees[t].kernel[moment] = 0;
    for (int i = 0; i < count; i++)
      if (inside[i]) {
        trees[t].user[moment] += all[i].user;
        trees[t].kernel[moment] += all[i].kernel;
      }
  }
}

static double machine_busy(void) {
  unsigned long user, nice_, kernel, idle, iowait, irq, softirq, steal;
  FILE *f = fopen("/proc/stat", "r");
  int n = fscanf(f, "cpu %lu %lu %lu %lu %lu %lu %lu %lu", &user, &nice_, &kernel, &idle, &iowait, &irq, &softirq, &steal);
  fclose(f);
  return n == 8 ? (double)(user + nice_ + kernel + irq + softirq) / tick : 0;
}

static double own_cpu(void) {
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

#endif
