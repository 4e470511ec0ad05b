/// Messages that were told and that the program has not taken yet: events that somebody keeps for
/// it. Counted for a listener's connections together, and for each client.
struct Untaken {
  var messages = 0
  var bytes = 0
  /// At a mark, and not yet below half of both.
  var isFull = false
  /// The program was told of this episode.
  var isTold = false
  /// Connections whose streams are not read until there is room.
  var paused: [Handle] = []
}

/// The marks for what is received: a program that is slow loses datagrams, counted and told, and
/// streams wait; but who lives is known all the same, because control packets are always handled.
extension Endpoint {
  /// The program has not taken so many more messages and bytes of a connection; negative when it
  /// took some. Told by an owner that keeps events for later.
  package mutating func untaken(_ handle: Handle, messages: Int, bytes: Int) {
    guard let slot = slot(handle) else { return }
    changeUntaken(receiver(slot), messages: messages, bytes: bytes)
  }

  /// The listener of a server connection, or the client itself.
  private func receiver(_ slot: Int) -> Int {
    let listener = connections[slot].listener
    return listener == ConnectionRecord.noSlot ? slot : Int(listener)
  }

  private mutating func changeUntaken(_ receiver: Int, messages: Int, bytes: Int) {
    guard var untaken = untaken(receiver) else { return }
    // What a program tells can be any number, and is only as good as that.
    untaken.messages = min(max(untaken.messages &+ messages, 0), 1 << 60)
    untaken.bytes = min(max(untaken.bytes &+ bytes, 0), 1 << 60)
    let options = options(receiver)
    let markMessages = Int(options.receiveMarkMessages)
    let markBytes = Int(options.receiveMarkBytes)
    if untaken.messages >= markMessages || untaken.bytes >= markBytes {
      if !untaken.isFull { fullReceivers += 1 }
      untaken.isFull = true
    } else if untaken.isFull, untaken.messages * 2 < markMessages, untaken.bytes * 2 < markBytes {
      untaken.isFull = false
      untaken.isTold = false
      fullReceivers -= 1
      resumeStreams(&untaken)
    }
    setUntaken(untaken, receiver)
  }

  /// Whether the program takes more messages of a connection; if not, it is told once.
  mutating func takesMessages(_ slot: Int) -> Bool {
    guard fullReceivers > 0 else { return true }
    let receiver = receiver(slot)
    guard var untaken = untaken(receiver), untaken.isFull else { return true }
    if !untaken.isTold {
      untaken.isTold = true
      setUntaken(untaken, receiver)
      emit(.error, receiver, .receiveMark)
    }
    return false
  }

  /// Reads a stream again whose program will get no more messages: what matters now are its
  /// acknowledgements and its end.
  mutating func resumeStream(_ socket: SocketID) {
    guard let stream = stream(socket), stream.isPaused else { return }
    stream.isPaused = false
    actions.append(.resume(socket))
  }

  /// Stops reading a stream until the program has taken enough: what it carries waits at the
  /// sender, and nothing is dropped.
  mutating func pauseStream(_ slot: Int) {
    let receiver = receiver(slot)
    let socket = connections[slot].socket
    guard var untaken = untaken(receiver), let stream = stream(socket), !stream.isPaused else {
      return
    }
    stream.isPaused = true
    untaken.paused.append(handle(slot))
    setUntaken(untaken, receiver)
    actions.append(.pause(socket))
  }

  private mutating func resumeStreams(_ untaken: inout Untaken) {
    for handle in untaken.paused {
      guard let slot = slot(handle), connections[slot].phase == .open else { continue }
      resumeStream(connections[slot].socket)
    }
    untaken.paused = []
  }

  /// A listener or client ends: what nobody took of it counts no more.
  mutating func forgetUntaken(_ slot: Int) {
    if untaken(slot)?.isFull == true { fullReceivers -= 1 }
  }

  private func untaken(_ receiver: Int) -> Untaken? {
    connections[receiver].listenerState?.untaken ?? connections[receiver].clientState?.untaken
  }

  private func setUntaken(_ untaken: Untaken, _ receiver: Int) {
    connections[receiver].listenerState?.untaken = untaken
    connections[receiver].clientState?.untaken = untaken
  }
}
