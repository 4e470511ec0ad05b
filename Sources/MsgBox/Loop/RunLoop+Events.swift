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

  /// The same; false if there was nothing.
  func settleNews(_ deliver: (CoreEvent, RawSpan) -> Void) -> Bool {
    guard endpoint.hasNews else { return false }
    settle(deliver)
    return true
  }

  /// Events that may refer to input, which are among the first `least`, must be delivered before
  /// the next input. Others may wait, so that a program that makes a new event in each callback
  /// cannot hold the loop for ever.
  private func deliverAll(
    _ input: Span<UInt8>, atLeast least: Int, _ deliver: (CoreEvent, RawSpan) -> Void
  ) {
    let least = max(least, 1024)
    var count = 0
    while !isEnding, count < least || now < turnEnds, let next = endpoint.pollWaiting() {
      count &+= 1
      // Two ways to `deliver`, so that on that of messages, which is taken often, what only others
      // have is known to be empty.
      if next.isMessage {
        let event = endpoint.message(next)
        if log != nil { note(event.kind, event.handle) }
        switch event.payload.place {
        case .none: deliver(event, RawSpan())
        case .input: deliver(event, unsafe input.bytes.extracting(event.payload.range))
        case .owned: deliverOwned(event, deliver)
        }
      } else if let event = endpoint.pollOther() {
        if log != nil { note(event.kind, event.handle, event.status, event.systemError) }
        deliver(event, RawSpan())
      }
    }
    delivered += count
  }

  @inline(never)
  private func deliverOwned(_ event: CoreEvent, _ deliver: (CoreEvent, RawSpan) -> Void) {
    let bytes = endpoint.takePolledBytes()
    deliver(event, unsafe bytes.span.bytes)
    endpoint.giveBackPolled(bytes)
  }
}
