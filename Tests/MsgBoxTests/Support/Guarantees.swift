import MsgBox

/// Watches the calls and events of one node, and reports what breaks the guarantees.
struct Guarantees {
  private struct Record {
    var isListener: Bool
    var listener = Handle.none
    var context: UInt
    /// Setup, ready or listening has been told.
    var isOpen = false
    /// A call has decided the end.
    var isEnding = false
    /// The end has been told.
    var hasEnded = false
    var liveConnections = 0
  }

  private let name: String
  private let report: (String) -> Void
  private var records: [Handle: Record] = [:]
  /// The gets that wait, by their contexts. Beside the records, so that looking at one of those
  /// copies no dictionary.
  private var gets: [Handle: [UInt: Handle]] = [:]
  /// What the handles of gets that wait name, and which were cancelled.
  private var getsByHandle: [Handle: (connection: Handle, context: UInt)] = [:]
  private var cancelled: Set<UInt> = []
  private var ledger = SendLedger()
  private var openRequests: [Handle: Handle] = [:]
  private var justEnded: Handle?
  private var isShutDown = false

  init(_ name: String, report: @escaping (String) -> Void) {
    self.name = name
    self.report = report
  }

  /// Handles whose end has not been told.
  var handlesAlive: [Handle] {
    records.filter { !$0.value.hasEnded }.keys.sorted { $0.rawValue < $1.rawValue }
  }

  /// Connections that are open, in the order of their handles.
  var openConnections: [Handle] {
    records.filter { $0.value.isOpen && !$0.value.hasEnded && !$0.value.isListener }
      .keys.sorted { $0.rawValue < $1.rawValue }
  }

  /// Reliable messages whose outcome was asked for and has not come.
  var outcomesMissing: Int { ledger.outcomesMissing }

  func isListener(_ handle: Handle) -> Bool { records[handle]?.isListener ?? false }

  func isAlive(_ handle: Handle) -> Bool { records[handle].map { !$0.hasEnded } ?? false }

  // MARK: Calls

  mutating func listens(_ handle: Handle, context: UInt) {
    starts(handle, Record(isListener: true, context: context))
  }

  mutating func connects(_ handle: Handle, context: UInt) {
    starts(handle, Record(isListener: false, context: context))
  }

  private mutating func starts(_ handle: Handle, _ record: Record) {
    if handle == .none { return fail("no handle") }
    if records[handle] != nil { fail("handle \(handle.rawValue) was given twice") }
    records[handle] = record
  }

  func called(_ call: String, _ handle: Handle, _ status: Status) {
    // What a build of the core lacks is refused before anything is looked at.
    if status == .notSupported { return }
    guard let record = records[handle] else {
      if status == .ok { fail("\(call) on an unknown handle is accepted") }
      return
    }
    if record.hasEnded, handle != justEnded, status != .badHandle {
      fail("\(call) after the end gives \(status)")
    } else if record.isEnding || record.hasEnded, status == .ok {
      fail("\(call) is accepted although the end is decided")
    } else if status == .badHandle, !record.hasEnded {
      fail("\(call) does not know a living handle")
    }
  }

  mutating func sends(_ handle: Handle, _ options: SendOptions, _ status: Status) {
    called("send", handle, status)
    if status == .ok { fail(ledger.sent(handle, options)) }
  }

  mutating func broadcasts(
    _ listener: Handle, _ options: SendOptions, _ report: BroadcastReport
  ) {
    called("broadcast", listener, report.status)
    if Set(report.skipped.map(\.handle)).count != report.skipped.count {
      fail("a broadcast skips a connection twice")
    }
    for skipped in report.skipped {
      if skipped.status.rawValue >= 0 { fail("a broadcast skips without a reason") }
      guard let record = records[skipped.handle] else { continue }
      if record.listener != listener { fail("a broadcast skips a connection of another listener") }
    }
    if report.status == .ok { ledger.broadcast(listener, options, count: report.queued) }
  }

  mutating func getBegan(_ handle: Handle, _ context: UInt, _ get: Handle) {
    ledger.sent(handle)
    getsByHandle[get] = (handle, context)
    if gets[handle, default: [:]].updateValue(get, forKey: context) != nil {
      fail("the test uses the context \(context) twice")
    }
  }

  mutating func cancelled(_ get: Handle, _ status: Status) {
    guard status == .ok else { return }
    guard let known = getsByHandle.removeValue(forKey: get),
      gets[known.connection]?[known.context] != nil
    else { return fail("a get that does not wait is cancelled") }
    cancelled.insert(known.context)
  }

  mutating func answered(_ request: Handle, _ status: Status) {
    guard let connection = openRequests[request] else {
      if status == .ok { fail("an answer to no open request is accepted") }
      return
    }
    if status == .ok {
      openRequests[request] = nil
      ledger.sent(connection)
      if records[connection]?.isEnding == true { fail("an answer is accepted after the end") }
    }
  }

  /// Unlike other calls, it may follow a disconnect that is not through.
  mutating func aborts(_ handle: Handle, _ status: Status) {
    if status != .ok || !isAlive(handle) { called("abort", handle, status) }
    if status == .ok { endDecided(handle) }
  }

  mutating func endDecided(_ handle: Handle) {
    records[handle]?.isEnding = true
    guard isListener(handle) else { return }
    for (connection, record) in records where record.listener == handle {
      records[connection]?.isEnding = true
    }
  }

  mutating func setContext(_ context: UInt, of handle: Handle) {
    records[handle]?.context = context
  }

  mutating func shutDown() {
    isShutDown = true
  }

  // MARK: Events

  /// `pollEvent` has returned: what the event before it ended is gone.
  mutating func pollReturned(_ endpoint: borrowing Endpoint) {
    guard let handle = justEnded else { return }
    justEnded = nil
    if endpoint.userWords(of: handle) != nil { fail("a handle is known after its end") }
  }

  mutating func check(_ event: LoggedEvent, _ endpoint: borrowing Endpoint) {
    if isShutDown { fail("\(event.kind) after the shutdown") }
    switch event.kind {
    case .listening, .connectionSetup: opened(event)
    case .connectionReady: cloned(event)
    case .message, .request, .writable: inside(event)
    case .reply, .replyMissing: replied(event)
    case .listeningError, .connectionSetupError: failedToOpen(event)
    case .connectionClosed, .connectionLost, .listeningEnded: ended(event)
    case .delivered, .undelivered: settled(event)
    case .error: if !isAlive(event.handle) { fail("an error of a handle that is not alive") }
    }
    checkWords(event, endpoint)
  }

  private func checkWords(_ event: LoggedEvent, _ endpoint: borrowing Endpoint) {
    guard let record = records[event.handle] else { return }
    if event.context != record.context { fail("\(event.kind) has the context of another") }
    if endpoint.userWords(of: event.handle)?.context != event.context {
      fail("the context cannot be read in the callback of \(event.kind)")
    }
  }

  private mutating func opened(_ event: LoggedEvent) {
    guard let record = records[event.handle] else { return fail("\(event.kind) of nobody") }
    if record.isListener != (event.kind == .listening) { fail("\(event.kind) of the wrong kind") }
    if record.isOpen || record.hasEnded { fail("\(event.kind) is a second outcome") }
    records[event.handle]?.isOpen = true
  }

  private mutating func cloned(_ event: LoggedEvent) {
    guard records[event.handle] == nil else { return fail("ready for a handle that is in use") }
    guard let listener = records[event.listener], listener.isListener, listener.isOpen,
      !listener.hasEnded, !listener.isEnding
    else { return fail("ready from no listener") }
    records[event.listener]?.liveConnections += 1
    records[event.handle] = Record(
      isListener: false, listener: event.listener, context: listener.context, isOpen: true)
  }

  private mutating func inside(_ event: LoggedEvent) {
    guard let record = records[event.handle], record.isOpen, !record.hasEnded,
      !record.isListener
    else { return fail("\(event.kind) outside of a connection's life") }
    if event.listener != record.listener { fail("\(event.kind) names the wrong listener") }
    guard event.kind == .request else { return }
    if event.request == .none || openRequests[event.request] != nil {
      fail("a request without a handle of its own")
    }
    openRequests[event.request] = event.handle
  }

  private mutating func replied(_ event: LoggedEvent) {
    guard let record = records[event.handle], !record.hasEnded else {
      return fail("\(event.kind) outside of a connection's life")
    }
    if event.kind == .reply, !record.isOpen { fail("a reply before the setup") }
    if let get = gets[event.handle]?.removeValue(forKey: event.getContext) {
      getsByHandle[get] = nil
    } else {
      fail("\(event.kind) to no get that waits (context \(event.getContext))")
    }
    checkCancelled(event)
    if event.kind == .reply { ledger.replied(event.handle) }
  }

  private mutating func checkCancelled(_ event: LoggedEvent) {
    guard cancelled.remove(event.getContext) != nil else { return }
    if event.kind != .replyMissing || event.status != .cancelled {
      fail("a get that was cancelled ends with \(event.kind), \(event.status)")
    }
  }

  private mutating func settled(_ event: LoggedEvent) {
    guard let record = records[event.handle], !record.hasEnded else {
      return fail("\(event.kind) outside of a connection's life")
    }
    if event.kind == .delivered, !record.isOpen { fail("delivered before the setup") }
    fail(ledger.outcome(event))
  }

  private mutating func failedToOpen(_ event: LoggedEvent) {
    guard let record = records[event.handle] else { return fail("\(event.kind) of nobody") }
    if record.isOpen { fail("\(event.kind) after the outcome") }
    if event.status.rawValue >= 0 { fail("\(event.kind) without a reason") }
    end(event, record)
  }

  private mutating func ended(_ event: LoggedEvent) {
    guard let record = records[event.handle] else { return fail("\(event.kind) of nobody") }
    if !record.isOpen { fail("\(event.kind) before the outcome") }
    if record.liveConnections > 0 { fail("a listener ends before its connections") }
    if event.status == .ok { fail("\(event.kind) without a reason") }
    end(event, record)
  }

  private mutating func end(_ event: LoggedEvent, _ record: Record) {
    if record.hasEnded { fail("\(event.kind) is a second end") }
    let missing = gets.removeValue(forKey: event.handle)?.count ?? 0
    if missing > 0 { fail("\(event.kind) before \(missing) missing replies") }
    if !record.isListener { fail(ledger.ended(event)) }
    records[event.handle]?.hasEnded = true
    records[record.listener]?.liveConnections -= 1
    justEnded = event.handle
    openRequests = openRequests.filter { $0.value != event.handle }
    if event.next != .none {
      starts(event.next, Record(isListener: false, context: record.context))
    }
  }

  private func fail(_ text: String?) {
    guard let text else { return }
    report("\(name): \(text)")
  }
}
