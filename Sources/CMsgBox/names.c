// Names and texts of codes, events and drop reasons, from the lists in msgbox.h.
#include "../../include/msgbox.h"

uint32_t msg_version(void) { return MSG_VERSION_NUMBER; }

const char *msg_status_name(int32_t code) {
  switch (code) {
#define NAME(name, number, text) \
  case number: return #name;
    MSG_STATUS_MAP(NAME)
#undef NAME
  default: return "UNKNOWN";
  }
}

const char *msg_status_text(int32_t code) {
  switch (code) {
#define TEXT(name, number, text) \
  case number: return text;
    MSG_STATUS_MAP(TEXT)
#undef TEXT
  default: return "a code of another version of this library";
  }
}

static const char *const event_names[] = {
    [msg_listening] = "listening",
    [msg_listening_error] = "listening_error",
    [msg_listening_ended] = "listening_ended",
    [msg_connection_setup] = "connection_setup",
    [msg_connection_setup_error] = "connection_setup_error",
    [msg_connection_ready] = "connection_ready",
    [msg_message] = "message",
    [msg_request] = "request",
    [msg_reply] = "reply",
    [msg_reply_missing] = "reply_missing",
    [msg_connection_closed] = "connection_closed",
    [msg_connection_lost] = "connection_lost",
    [msg_writable] = "writable",
    [msg_error] = "error",
    [msg_delivered] = "delivered",
    [msg_undelivered] = "undelivered",
};

const char *msg_event_name(uint32_t type) {
  const uint32_t count = sizeof event_names / sizeof event_names[0];
  return type < count && event_names[type] ? event_names[type] : "unknown";
}

const char *msg_drop_name(uint32_t reason) {
  switch (reason) {
#define NAME(name, number, text) \
  case number: return #name;
    MSG_DROP_MAP(NAME)
#undef NAME
  default: return NULL;
  }
}

const char *msg_drop_text(uint32_t reason) {
  switch (reason) {
#define TEXT(name, number, text) \
  case number: return text;
    MSG_DROP_MAP(TEXT)
#undef TEXT
  default: return NULL;
  }
}
