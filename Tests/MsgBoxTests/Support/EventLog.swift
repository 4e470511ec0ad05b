import MsgBox

/// One event as it was delivered, with its own copy of the bytes.
struct LoggedEvent {
  var time: Instant
  var kind: EventKind
  var status: Status
  var systemError: Int32
  var handle: Handle
  var listener: Handle
  var next: Handle
  var request: Handle
  var context: UInt
  var getContext: UInt
  var undelivered: Int
  var bytes: [UInt8]

  init(_ event: CoreEvent, bytes: [UInt8], at time: Instant) {
    self.time = time
    kind = event.kind
    status = event.status
    systemError = event.systemError
    handle = event.handle
    listener = event.listener
    next = event.next
    request = event.request
    context = event.userWords.context
    getContext = event.getContext
    undelivered = event.undelivered
    self.bytes = bytes
  }

  var text: String { String(decoding: bytes, as: UTF8.self) }
}

/// Every event of a node, in the order of delivery.
struct EventLog {
  private(set) var events: [LoggedEvent] = []
  private var counts: [EventKind: Int] = [:]
  /// Only the numbers of events are kept, not the events.
  var isCountingOnly = false

  mutating func append(_ event: LoggedEvent) {
    counts[event.kind, default: 0] += 1
    if !isCountingOnly { events.append(event) }
  }

  func count(_ kind: EventKind) -> Int { counts[kind] ?? 0 }

  var total: Int { counts.values.reduce(0, +) }

  func all(_ kind: EventKind) -> [LoggedEvent] { events.filter { $0.kind == kind } }

  func first(_ kind: EventKind) -> LoggedEvent? { events.first { $0.kind == kind } }

  func last(_ kind: EventKind) -> LoggedEvent? { events.last { $0.kind == kind } }

  func events(of handle: Handle) -> [LoggedEvent] { events.filter { $0.handle == handle } }

  /// The kinds of the events of `handle`, or of all, such as "connectionSetup reply
  /// connectionClosed".
  func string(of handle: Handle? = nil) -> String {
    events.filter { handle == nil || $0.handle == handle }.map { "\($0.kind)" }
      .joined(separator: " ")
  }
}
