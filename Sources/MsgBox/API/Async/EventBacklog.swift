#if !hasFeature(Embedded)
  import Synchronization

  /// The events that nobody has taken yet. Messages and requests are bounded by the receive marks
  /// of the core, and new connections of a listener, each with its end, by what it may have at once:
  /// the thread of the box tells the core what waits here. All others follow from what the program
  /// has begun.
  final class EventBacklog: Sendable {
    /// Messages and requests, and their bytes; and new connections of a listener.
    struct Tally: Equatable, Sendable {
      var messages = 0
      var bytes = 0
      var connections = 0
    }

    fileprivate typealias Taker = CheckedContinuation<OwnedEvent?, Never>

    /// An event and whose mark it counts against.
    fileprivate struct Kept {
      let event: OwnedEvent
      let owner: Handle
    }

    fileprivate struct State {
      /// Taken from `head` on; the front is given back when it is the larger half.
      var events: [Kept?] = []
      var head = 0
      /// By listener, or client connection: what waits here.
      var waiting: [Handle: Tally] = [:]
      /// The same: what was taken, and not yet collected.
      var taken: [Handle: Tally] = [:]
      /// The thread of the box was woken to collect what was taken.
      var isCollecting = false
      var takers: [(number: UInt64, taker: Taker)] = []
      var lastTaker: UInt64 = 0
      var hasFinished = false
    }

    private let state = Mutex(State())
    private let waker: MessageBox.Waker

    /// Makes the backlog of a box; `waker` wakes its thread when there is something to collect.
    init(waker: MessageBox.Waker) {
      self.waker = waker
    }

    /// Gives an event to who waits for one, or keeps it.
    ///
    /// - Parameter owner: The listener of its connection, or the connection at a client.
    /// - Returns: What was kept that counts; nil if there is none.
    func append(_ event: OwnedEvent, of owner: Handle) -> Tally? {
      let tally = event.tally
      let taker: Taker? = state.withLock { state in
        if !state.takers.isEmpty { return state.takers.removeFirst().taker }
        state.events.append(Kept(event: event, owner: owner))
        if let tally { state.waiting[owner, default: Tally()].add(tally) }
        return nil
      }
      taker?.resume(returning: event)
      return taker == nil ? tally : nil
    }

    /// What was taken since the last time, by listener or client connection. For the thread of the
    /// box.
    func collectTaken() -> [Handle: Tally] {
      state.withLock { state in
        let taken = state.taken
        if !taken.isEmpty { state.taken = [:] }
        state.isCollecting = false
        return taken
      }
    }

    /// No more events come; those that are here can still be taken.
    func finish() {
      let takers = state.withLock { state in
        let takers = state.takers
        state.takers = []
        state.hasFinished = true
        return takers
      }
      for each in takers { each.taker.resume(returning: nil) }
    }

    /// The next event; nil when there will be none, or the task is cancelled.
    func next() async -> OwnedEvent? {
      let number = state.withLock { state in
        state.lastTaker += 1
        return state.lastTaker
      }
      return await withTaskCancellationHandler {
        await withCheckedContinuation { take($0, number) }
      } onCancel: {
        cancel(number)
      }
    }

    /// Gives `taker` an event if there is one, or nil if there never will be one.
    private func take(_ taker: Taker, _ number: UInt64) {
      let (event, mustWait, mustWake) = state.withLock { state -> (OwnedEvent?, Bool, Bool) in
        if let (event, mustWake) = state.removeFirst() { return (event, false, mustWake) }
        // A cancellation that comes later finds the taker in the list; one that came earlier is
        // seen here.
        if state.hasFinished || Task.isCancelled { return (nil, false, false) }
        state.takers.append((number, taker))
        return (nil, true, false)
      }
      if mustWake { waker.wake() }
      if !mustWait { taker.resume(returning: event) }
    }

    private func cancel(_ number: UInt64) {
      let taker: Taker? = state.withLock { state in
        guard let place = state.takers.firstIndex(where: { $0.number == number }) else {
          return nil
        }
        return state.takers.remove(at: place).taker
      }
      taker?.resume(returning: nil)
    }
  }

  extension EventBacklog.State {
    /// Takes the oldest event; says also whether the thread of the box is to be woken to collect.
    fileprivate mutating func removeFirst() -> (OwnedEvent, mustWake: Bool)? {
      guard head < events.count, let kept = events[head] else { return nil }
      events[head] = nil
      head += 1
      if head > events.count / 2 {
        events.removeFirst(head)
        head = 0
      }
      guard let tally = kept.event.tally else { return (kept.event, false) }
      return (kept.event, noteTaken(tally, of: kept.owner))
    }

    /// Counts what is taken. The thread of the box is woken when a quarter of what it
    /// believes to wait does not any more: often enough that nobody is kept out by what is gone,
    /// and not for each message.
    private mutating func noteTaken(_ tally: EventBacklog.Tally, of owner: Handle) -> Bool {
      var rest = waiting[owner] ?? EventBacklog.Tally()
      rest.subtract(tally)
      waiting[owner] = rest == EventBacklog.Tally() ? nil : rest
      taken[owner, default: EventBacklog.Tally()].add(tally)
      guard !isCollecting, !hasFinished, let gone = taken[owner] else { return false }
      isCollecting =
        isMuch(gone.messages, rest.messages) || isMuch(gone.bytes, rest.bytes)
        || isMuch(gone.connections, rest.connections)
      return isCollecting
    }

    private func isMuch(_ gone: Int, _ rest: Int) -> Bool { gone > 0 && gone * 3 >= rest }
  }

  extension EventBacklog.Tally {
    fileprivate mutating func add(_ other: Self) {
      messages += other.messages
      bytes += other.bytes
      connections += other.connections
    }

    fileprivate mutating func subtract(_ other: Self) {
      messages -= other.messages
      bytes -= other.bytes
      connections -= other.connections
    }
  }

  extension OwnedEvent {
    /// What it counts for; nil if for nothing.
    fileprivate var tally: EventBacklog.Tally? {
      switch self {
      case .message(_, let bytes), .request(_, let bytes):
        EventBacklog.Tally(messages: 1, bytes: bytes.count)
      case .connectionReady: EventBacklog.Tally(connections: 1)
      default: nil
      }
    }
  }
#endif
