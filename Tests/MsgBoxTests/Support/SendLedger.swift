import MsgBox

/// What one node's program has sent, and what became of it as far as its events tell. Each check
/// gives what is wrong, or nil.
struct SendLedger {
  private struct Account {
    /// One-way messages, requests and replies that were accepted.
    var accepted = 0
    /// Of those, known to have arrived.
    var arrived = 0
    /// Reported as undelivered because the connection ended.
    var lost = 0
    /// The contexts of reliable messages whose outcome is to come.
    var waiting: Set<UInt> = []
  }

  /// A message to many that wants one outcome for each.
  private struct Broadcast {
    var outstanding: Int
    var settled: Set<Handle> = []
  }

  private var accounts: [Handle: Account] = [:]
  private var broadcasts: [UInt: Broadcast] = [:]
  private var broadcastsOf: [Handle: Int] = [:]

  /// Outcomes that have not come.
  var outcomesMissing: Int {
    var sum = 0
    for account in accounts.values { sum += account.waiting.count }
    for broadcast in broadcasts.values { sum += broadcast.outstanding }
    return sum
  }

  // MARK: Calls

  /// A one-way message was accepted.
  mutating func sent(_ handle: Handle, _ options: SendOptions) -> String? {
    accounts[handle, default: Account()].accepted += 1
    guard options.isReliable, options.wantsOutcome else { return nil }
    let isNew = accounts[handle]?.waiting.insert(options.context).inserted ?? false
    return isNew ? nil : "the test uses the context \(options.context) of a send twice"
  }

  /// A request or a reply was accepted.
  mutating func sent(_ handle: Handle) {
    accounts[handle, default: Account()].accepted += 1
  }

  /// A message was queued to `count` connections of a listener.
  mutating func broadcast(_ listener: Handle, _ options: SendOptions, count: Int) {
    broadcastsOf[listener, default: 0] += 1
    guard options.isReliable, options.wantsOutcome else { return }
    broadcasts[options.context] = Broadcast(outstanding: count)
  }

  // MARK: Events

  mutating func replied(_ handle: Handle) {
    accounts[handle]?.arrived += 1
  }

  /// `delivered` or `undelivered`.
  mutating func outcome(_ event: LoggedEvent) -> String? {
    let isDelivered = event.kind == .delivered
    if isDelivered != (event.status == .ok) {
      return "\(event.kind) with the status \(event.status)"
    }
    if accounts[event.handle]?.waiting.remove(event.getContext) != nil {
      count(event)
    } else if var broadcast = broadcasts[event.getContext], broadcast.outstanding > 0,
      broadcast.settled.insert(event.handle).inserted
    {
      broadcast.outstanding -= 1
      broadcasts[event.getContext] = broadcast
    } else {
      return "\(event.kind) of no message that waits (context \(event.getContext))"
    }
    return nil
  }

  private mutating func count(_ event: LoggedEvent) {
    switch event.status {
    case .ok: accounts[event.handle]?.arrived += 1
    case .expired, .superseded, .tooBig: break
    default: accounts[event.handle]?.lost += 1
    }
  }

  /// The end of a connection. Its number of undelivered messages is exact where every message
  /// wanted its outcome, else it lies within what is known.
  mutating func ended(_ event: LoggedEvent) -> String? {
    let broadcasts = broadcastsOf[event.listener] ?? 0
    let account = accounts.removeValue(forKey: event.handle) ?? Account()
    if !account.waiting.isEmpty {
      return "\(event.kind) before the outcome of \(account.waiting.count) messages"
    }
    guard event.kind != .connectionSetupError else { return nil }
    let range = account.lost...max(account.lost, account.accepted - account.arrived + broadcasts)
    if range.contains(event.undelivered) { return nil }
    return "\(event.kind) tells of \(event.undelivered) undelivered messages, not \(range)"
  }
}
