// A Swift program with a runtime of its own that also contains libmsgbox.a and thereby parts of the
// Embedded runtime. Both must work: classes, dictionaries and strings here, a request there.
import CMsgBox

/// Counts by name: reference counting and hashing by this program's own runtime.
final class Tally {
  var counts: [String: Int] = [:]
  weak var parent: Tally?

  func note(_ name: String) {
    counts[name, default: 0] += 1
    parent?.note(name)
  }
}

nonisolated(unsafe) let total = Tally()
nonisolated(unsafe) let events = Tally()

/// Answers requests, and notes the name of every event.
func onEvent(_ event: UnsafePointer<msg_Event>?) {
  guard let event = event?.pointee else { return }
  events.note(String(cString: msg_event_name(event.type)))
  if event.type == msg_request { _ = msg_answer(event.request, event.data) }
}

/// Runs the loop until `name` was seen; false after ten seconds without it.
func run(until name: String) -> Bool {
  for _ in 0..<100 where events.counts[name] == nil {
    if msg_runloop(100) < 0 { return false }
  }
  return events.counts[name] != nil
}

/// The first thing that went wrong, or nil.
func failure() -> String? {
  events.parent = total
  let listener = msg_listen("udp://127.0.0.1:0", onEvent)
  guard run(until: "listening") else { return "no listener" }
  let client = msg_connect("udp://127.0.0.1:\(msg_local_port(listener))", onEvent)
  guard msg_get(client, msg_text("both"), nil) == MSG_OK else { return "no get" }
  guard run(until: "reply") else { return "no reply" }
  guard msg_disconnect(client) == MSG_OK else { return "no disconnect" }
  guard run(until: "connection_closed") else { return "no end" }
  guard total.counts == events.counts, total.counts["reply"] == 1 else { return "wrong counts" }
  return nil
}

for index in 0..<10_000 { total.counts["n\(index)"] = index }
guard (0..<10_000).allSatisfy({ (index: Int) in total.counts["n\(index)"] == index }) else {
  fatalError("dictionary")
}
total.counts.removeAll()
if let failure = failure() { fatalError(failure) }
print("both runtimes work: \(events.counts.keys.sorted())")
