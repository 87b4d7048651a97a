/*
 * Two controls that fight for the INPUT lease of one endpoint, as fast as the daemon answers; what each does
 * is random, by a seed. Both sockets are driven by one poll loop, so that what one sees can be held against
 * what the other does:
 *
 *   input_fight SOCKET ENDPOINT ROUNDS SEED UID0 UID1      control 0 joins as UID0, control 1 as UID1; 0
 *     = who runs this. A round is a grant.
 *
 * A control asks for the lease, sends some frames under it, and gives it back; meanwhile the other asks, too.
 * A frame is a chord that ends neutral, or presses keys and leaves them down. Now and then a frame carries
 * the token of an earlier lease, or comes without any lease.
 *
 * It checks that what the last owner held is released when a lease is granted; that every command is answered
 * once, with an answer that its sender can expect; that tokens grow; that, in the order of the tokens, each
 * lease was granted only after the one before had ended (by the daemon's own times). It ends with status 1
 * and a word on the first breach. What the guest must have seen is for the caller to check: for each grant,
 * in the order of the tokens,
 *
 *   grant TOKEN CONTROL FRAME …      the frames that were acknowledged, in order; a frame is its keys as
 *                                    +CODE (down) and -CODE (up), joined
 *
 * and at last: "counts GRANTS DENIED REVOKED FRAMES STALE UNLEASED".
 */
#include "../bench/c/control.h"

enum { MAX_FRAMES = 4, MAX_KEYS = 5, MAX_OPEN = 16, KEY_COUNT = 12, OK = 0, NO_LEASE = 3, STALE = 4 };
/* What an open command is. */
enum { NOTHING, ACQUIRE, RELEASE, FRAME, OLD_FRAME, BARE_FRAME, QUERY };
enum { HELD_BY_OTHER = 0, LOWER_PRIO = 4 };

/* Letters and digits of the main block: nothing that a kernel takes as a command of its own. */
static const int KEYS[KEY_COUNT] = {2, 3, 4, 5, 16, 17, 18, 19, 30, 31, 32, 33};

struct sent {
  uint32_t corr;
  int what, keys[2 * MAX_KEYS], count, acked;
};
struct control {
  int fd, waiting, owner, releasing, frames_left, held[KEY_COUNT];
  uint64_t token, old_token;
  struct sent open[MAX_OPEN];
  double next_us;
};
struct grant {
  int control, count;
  uint64_t granted_ns, ended_ns;
  struct { int keys[2 * MAX_KEYS], count; } frames[MAX_FRAMES];
};

static struct control controls[2];
static struct grant *grants;
static uint64_t tokens_end;
static uint32_t endpoint, last_corr;
static long rounds, granted, denied, revoked, frames, stale, unleased;
static uint32_t state;
static uint8_t f[PACKET], r[PACKET];

static uint32_t below(uint32_t n) {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return (uint32_t)((uint64_t)state * n >> 32);
}

static void breach(const char *what, const struct control *c) {
  fprintf(stderr, "control %d, token %llu: %s (kind %u, words %u %u, corr %u)\n", (int)(c - controls), (unsigned long long)c->token, what,
          get16(r + 4), get32(r + 48), get32(r + 52), get32(r + 20));
  exit(1);
}

static int open_count(const struct control *c) {
  int n = 0;
  for (int i = 0; i < MAX_OPEN; i++) n += c->open[i].what != NOTHING;
  return n;
}

static struct sent *slot_of(struct control *c, int what) {
  for (int i = 0; i < MAX_OPEN; i++)
    if (c->open[i].what == NOTHING) {
      c->open[i] = (struct sent){.corr = ++last_corr, .what = what};
      return &c->open[i];
    }
  breach("too many commands are open", c);
  return NULL;
}

static void transmit(struct control *c, size_t length) {
  if (send(c->fd, f, length, MSG_NOSIGNAL) != (ssize_t)length) die("send");
}

static void ask(struct control *c, int what) {
  struct sent *s = slot_of(c, what);
  head(f, what == ACQUIRE ? CMD_ACQUIRE : what == RELEASE ? CMD_RELEASE : CMD_QUERY_INPUT, endpoint, s->corr, CLASS_INPUT, 0);
  transmit(c, HEAD);
}

/* A chord of keys that are up; half of them are released again, last first. */
static void send_frame(struct control *c, int what, uint64_t token) {
  struct sent *s = slot_of(c, what);
  int held[KEY_COUNT], pressed[MAX_KEYS], n = 0, wanted = 1 + (int)below(MAX_KEYS - 1);
  memcpy(held, c->held, sizeof held);
  for (int tries = 0; n < wanted && tries < 20; tries++) {
    int k = (int)below(KEY_COUNT);
    if (held[k]) continue;
    held[k] = 1;
    pressed[n++] = k;
    s->keys[s->count++] = KEYS[k];
  }
  int leaves = what == FRAME && n > 0 && below(2) == 0;
  for (int i = n - 1; i >= 0 && !leaves; i--) s->keys[s->count++] = -KEYS[pressed[i]];
  if (leaves) memcpy(c->held, held, sizeof held);
  /* All are down: it gives one back. */
  if (n == 0) {
    int k = (int)below(KEY_COUNT);
    c->held[k] = 0;
    s->keys[s->count++] = -KEYS[k];
  }
  transmit(c, keys_frame(f, endpoint, s->corr, token, s->keys, s->count));
}

static void lease_ended(struct control *c, uint64_t ended_ns) {
  c->owner = 0;
  grants[c->token].ended_ns = ended_ns;
  c->old_token = c->token;
  memset(c->held, 0, sizeof c->held);
}

static void on_granted(struct control *c, uint64_t token) {
  if (token <= c->token) breach("a token that is not greater than its last", c);
  if (token >= tokens_end || grants[token].control != 0) breach("a token that is far off, or was used", c);
  granted++;
  c->owner = 1;
  c->waiting = 0;
  c->token = token;
  c->frames_left = 1 + (int)below(3);
  grants[token].control = 1 + (int)(c - controls);
  grants[token].granted_ns = get64(r + 32);
  /* Only while no other can have pressed anything since: the weaker one may be pre-empted already. */
  if (c == controls) ask(c, QUERY);
}

static void on_input_answer(struct control *c, struct sent *s, uint32_t code) {
  switch (s->what) {
  case FRAME:
    if (code == STALE) stale++;
    else if (code == NO_LEASE) unleased++;
    else if (code != OK) breach("a frame is refused", c);
    else {
      struct grant *g = &grants[c->token];
      if (g->count == MAX_FRAMES) breach("more frames than were sent", c);
      memcpy(g->frames[g->count].keys, s->keys, sizeof s->keys);
      g->frames[g->count++].count = s->count;
      frames++;
    }
    return;
  case OLD_FRAME:
    if (code != STALE) breach("a frame with an old token is not stale", c);
    stale++;
    return;
  case BARE_FRAME:
    if (code != NO_LEASE) breach("a frame without a lease is not refused so", c);
    unleased++;
    return;
  default:
    breach("an ACT_ACK", c);
  }
}

static void on_packet(struct control *c) {
  uint16_t kind = get16(r + 4);
  uint32_t corr = get32(r + 20), word0 = get32(r + 48), word1 = get32(r + 52);
  if (kind == LEASE_REVOKED && corr == 0) {
    if (!(c->owner || c->releasing) || word1 != 0) breach("revoked", c);
    revoked++;
    return lease_ended(c, get64(r + 32));
  }
  struct sent *s = NULL;
  for (int i = 0; i < MAX_OPEN; i++)
    if (c->open[i].what != NOTHING && c->open[i].corr == corr) s = &c->open[i];
  if (s == NULL) breach("an answer to what is not open: a second one, or to nothing", c);
  if (kind == LEASE_GRANTED && s->what == ACQUIRE) on_granted(c, get64(r + 56));
  else if (kind == LEASE_DENIED && s->what == ACQUIRE) {
    if (word0 != CLASS_INPUT || (word1 != HELD_BY_OTHER && word1 != LOWER_PRIO)) breach("denied", c);
    denied++;
    c->waiting = 0;
    c->next_us = now_us() + below(2000);
  } else if (kind == LEASE_RELEASED && s->what == RELEASE) c->releasing = 0;
  /* Pre-empted while the release was on its way. */
  else if (kind == ACT_ACK && s->what == RELEASE && word1 == NO_LEASE) c->releasing = 0;
  else if (kind == INPUT_HELD && s->what == QUERY) {
    if (word0 != 0) breach("granted while keys of the last owner are down", c);
  } else if (kind == ACT_ACK && get32(r + 56) == CMD_INPUT) on_input_answer(c, s, word1);
  else breach("an answer of the wrong kind", c);
  s->what = NOTHING;
}

/* What a control does next; 0 when it only waits. */
static int act(struct control *c, double now) {
  if (c->waiting || c->releasing) return 0;
  if (c->owner) {
    if (c->frames_left > 0) {
      c->frames_left--;
      if (c->old_token != 0 && below(8) == 0) send_frame(c, OLD_FRAME, c->old_token);
      send_frame(c, FRAME, below(4) == 0 ? 0 : c->token);
      return 1;
    }
    /* Sometimes its last frames are still on their way. */
    if (open_count(c) > 0 && below(4) != 0) return 0;
    c->releasing = 1;
    ask(c, RELEASE);
    lease_ended(c, (uint64_t)(now * 1e3));
    c->next_us = now + below(3000);
    return 1;
  }
  /* The frames of one lease are all answered before the next one. */
  if (open_count(c) > 0 || now < c->next_us || granted >= rounds) return 0;
  if (below(16) == 0) send_frame(c, BARE_FRAME, 0);
  c->waiting = 1;
  ask(c, ACQUIRE);
  return 1;
}

static void read_all(struct control *c) {
  for (;;) {
    ssize_t n = recv(c->fd, r, sizeof r, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n < HEAD) {
      fprintf(stderr, "control %d: the daemon closed the socket\n", (int)(c - controls));
      exit(1);
    }
    on_packet(c);
  }
}

static void fight(void) {
  double heard = now_us();
  for (;;) {
    double now = now_us();
    int acted = 0, open = 0;
    for (int i = 0; i < 2; i++) {
      while (act(&controls[i], now)) acted = 1;
      open += open_count(&controls[i]) + controls[i].owner;
    }
    if (granted >= rounds && open == 0) return;
    struct pollfd wait[2] = {{controls[0].fd, POLLIN, 0}, {controls[1].fd, POLLIN, 0}};
    int ready = poll(wait, 2, acted ? 0 : 1);
    if (ready < 0) die("poll");
    if (ready > 0) heard = now;
    if (now - heard > 20e6) {
      fprintf(stderr, "no answer for 20 s; %ld grants, %d commands open\n", granted, open);
      exit(1);
    }
    int first = (int)below(2);
    for (int i = 0; i < 2; i++)
      if (wait[first ^ i].revents) read_all(&controls[first ^ i]);
  }
}

static void report(void) {
  uint64_t ended_ns = 0;
  for (uint64_t token = 1; token < tokens_end; token++) {
    struct grant *g = &grants[token];
    if (g->control == 0) continue;
    if (g->granted_ns < ended_ns) {
      fprintf(stderr, "token %llu was granted %llu ns before the lease before it ended\n", (unsigned long long)token,
              (unsigned long long)(ended_ns - g->granted_ns));
      exit(1);
    }
    ended_ns = g->ended_ns;
    printf("grant %llu %d", (unsigned long long)token, g->control - 1);
    for (int i = 0; i < g->count; i++) {
      printf(" ");
      for (int k = 0; k < g->frames[i].count; k++) printf("%+d", g->frames[i].keys[k]);
    }
    printf("\n");
  }
  printf("counts %ld %ld %ld %ld %ld %ld\n", granted, denied, revoked, frames, stale, unleased);
}

int main(int argc, char **argv) {
  if (argc != 7) {
    fprintf(stderr, "usage: input_fight SOCKET ENDPOINT ROUNDS SEED UID0 UID1\n");
    return 2;
  }
  endpoint = (uint32_t)strtoul(argv[2], NULL, 10);
  rounds = strtol(argv[3], NULL, 10);
  state = (uint32_t)strtoul(argv[4], NULL, 10) * 2654435761u | 1;
  tokens_end = (uint64_t)rounds + 16;
  grants = calloc(tokens_end, sizeof *grants);
  if (grants == NULL) die("calloc");
  for (int i = 0; i < 2; i++) controls[i].fd = join_as(argv[1], (uid_t)strtoul(argv[5 + i], NULL, 10));
  fight();
  /* Whatever is one answer too many would come now. */
  usleep(200000);
  for (int i = 0; i < 2; i++) read_all(&controls[i]);
  report();
  return 0;
}
