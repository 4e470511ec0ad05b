extension RunLoop {
  /// Delivers the events that wait and performs the actions that wait, until there are none.
  ///
  /// - Parameter input: The bytes that the core was just given, to which events may refer.
  func settle(_ input: Span<UInt8>, _ deliver: (CoreEvent, RawSpan) -> Void) {
    // Those that refer to the input are among those that wait now.
    deliverAll(input, atLeast: endpoint.waitingEvents, deliver)
    var performed = 0
    while !isEnding, performed < 64 || now < turnEnds, let action = endpoint.pollAction() {
      perform(action)
      performed += 1
      deliverAll(input, atLeast: 0, deliver)
    }
  }

  /// The same when the core was given no bytes.
  func settle(_ deliver: (CoreEvent, RawSpan) -> Void) {
    settle(Span(), deliver)
  }

  /// Events that may refer to input, which are among the first `least`, must be delivered before
  /// the next input. Others may wait, so that a program that makes a new event in each callback
  /// cannot hold the loop for ever.
  private func deliverAll(
    _ input: Span<UInt8>, atLeast least: Int, _ deliver: (CoreEvent, RawSpan) -> Void
  ) {
    let least = max(least, 1024)
    var count = 0
    var origin = EventOrigin()
    while !isEnding, count < least || now < turnEnds, let next = endpoint.pollWaiting() {
      count &+= 1
      eventsToLook &-= 1
      if eventsToLook <= 0 { lookBetweenEvents() }
      // Two ways to `deliver`, so that on that of messages, which is taken often, what only others
      // have is known to be empty.
      if next.isMessage {
        guard next.payload.place != .owned else {
          deliverOwned(next, &origin, deliver)
          continue
        }
        let event = endpoint.message(next, &origin)
        if log != nil { note(event.kind, event.handle) }
        if event.payload.place == .none {
          deliver(event, RawSpan())
        } else {
          deliver(event, unsafe input.bytes.extracting(event.payload.range))
        }
        if endpoint.queuedBytes >= burstMark { sendBurst() }
      } else if let event = endpoint.pollOther() {
        origin = EventOrigin()
        if log != nil { note(event.kind, event.handle, event.status, event.systemError) }
        deliver(event, RawSpan())
      }
    }
    endpoint.eventsRest()
    delivered += count
  }

  /// Looks at the clock, since what is answered at once is as old as the last look: before each event
  /// once handlers are slow, and the more seldom the longer they are quick.
  @inline(never)
  private func lookBetweenEvents() {
    let before = lastLook
    let areQuick = now.since(before) < .milliseconds(1)
    eventsPerLook = areQuick ? min(eventsPerLook * 2, 32) : 1
    eventsToLook = eventsPerLook
  }

  /// Sends what answers the messages that were delivered, so that the peer works on it while this
  /// box works on the rest of the turn. Each burst of a turn is twice as large as the one before,
  /// so there are few.
  @inline(never)
  private func sendBurst() {
    sendQueued(at: now)
    burst = burst &* 2
    burstMark = endpoint.queuedBytes + burst
  }

  @inline(never)
  private func deliverOwned(
    _ next: WaitingEvent, _ origin: inout EventOrigin, _ deliver: (CoreEvent, RawSpan) -> Void
  ) {
    let event = endpoint.message(next, &origin)
    if log != nil { note(event.kind, event.handle) }
    let bytes = endpoint.takePolledBytes()
    deliver(event, unsafe bytes.span.bytes)
    endpoint.giveBackPolled(bytes)
  }
}
