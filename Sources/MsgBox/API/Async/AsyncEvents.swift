#if !hasFeature(Embedded)
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
#endif
