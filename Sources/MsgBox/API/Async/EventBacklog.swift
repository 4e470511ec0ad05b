#if !hasFeature(Embedded)
  import Synchronization

  /// The events of an asynchronous box, in order; ends when the box has ended.
  public struct AsyncEvents: AsyncSequence, Sendable {
    /// An event with bytes of its own.
    public typealias Element = OwnedEvent
    /// Awaiting an event does not fail.
    public typealias Failure = Never

    let backlog: EventBacklog

    /// Begins to take the events.
    public func makeAsyncIterator() -> Iterator { Iterator(backlog: backlog) }

    /// Takes the events one by one.
    public struct Iterator: AsyncIteratorProtocol, Sendable {
      let backlog: EventBacklog

      /// The next event; nil when the box has ended or the task is cancelled.
      public mutating func next() async -> OwnedEvent? { await backlog.next() }

      /// The next event; nil when the box has ended or the task is cancelled.
      public mutating func next(
        isolation actor: isolated (any Actor)?
      ) async throws(Never) -> OwnedEvent? {
        await backlog.next()
      }
    }
  }

  /// The events that nobody has taken yet. Messages and requests are bounded, in number and in
  /// bytes, because peers make them; all others follow from what the program has begun.
  final class EventBacklog: Sendable {
    /// Messages and requests that may wait.
    static let maxMessages = 65_536
    /// Bytes of messages and requests that may wait.
    static let maxBytes = 16 << 20

    fileprivate typealias Taker = CheckedContinuation<OwnedEvent?, Never>

    fileprivate struct State {
      /// Taken from `head` on; the front is given back when it is the larger half.
      var events: [OwnedEvent?] = []
      var head = 0
      var messages = 0
      var bytes = 0
      var dropped: UInt64 = 0
      var takers: [(number: UInt64, taker: Taker)] = []
      var lastTaker: UInt64 = 0
      var hasFinished = false
    }

    private let state = Mutex(State())

    /// Messages and requests that found no room.
    var dropped: UInt64 { state.withLock { $0.dropped } }

    /// Gives an event to who waits for one, or keeps it.
    func append(_ event: OwnedEvent) {
      let taker: Taker? = state.withLock { state in
        if !state.takers.isEmpty { return state.takers.removeFirst().taker }
        state.append(event)
        return nil
      }
      taker?.resume(returning: event)
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
      let (event, mustWait) = state.withLock { state -> (OwnedEvent?, Bool) in
        if let event = state.removeFirst() { return (event, false) }
        // A cancellation that comes later finds the taker in the list; one that came earlier is
        // seen here.
        if state.hasFinished || Task.isCancelled { return (nil, false) }
        state.takers.append((number, taker))
        return (nil, true)
      }
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
    fileprivate mutating func append(_ event: OwnedEvent) {
      if let count = event.messageBytes {
        guard messages < EventBacklog.maxMessages, bytes + count <= EventBacklog.maxBytes else {
          dropped += 1
          return
        }
        messages += 1
        bytes += count
      }
      events.append(event)
    }

    fileprivate mutating func removeFirst() -> OwnedEvent? {
      guard head < events.count, let event = events[head] else { return nil }
      events[head] = nil
      head += 1
      if head > events.count / 2 {
        events.removeFirst(head)
        head = 0
      }
      if let count = event.messageBytes {
        messages -= 1
        bytes -= count
      }
      return event
    }
  }

  extension OwnedEvent {
    /// The bytes of a message or request; nil for the others.
    fileprivate var messageBytes: Int? {
      switch self {
      case .message(_, let bytes), .request(_, let bytes): bytes.count
      default: nil
      }
    }
  }
#endif
