/// Messages that were told and that the program has not taken yet: events that somebody keeps for
/// it. Counted for a listener's connections together, and for each client.
struct Untaken {
  var messages = 0
  var bytes = 0
  /// New connections of which the program has not heard yet, those that have ended among them.
  var connections = 0
  /// The same of messages in events that wait to be polled.
  var pendingMessages = 0
  var pendingBytes = 0
  /// At a mark, and not yet below half of both.
  var isFull = false
  /// The program was told of this episode.
  var isTold = false
  /// Connections whose streams are not read until there is room.
  var paused: [Handle] = []
  /// With so many of them, those that have ended are taken out.
  var pausedLimit = 64
}

/// The marks for what is received: a program that is slow loses datagrams, counted and told, and
/// streams wait; but who lives is known all the same, because control packets are always handled.
extension Endpoint {
  /// The program has not taken so many more messages and bytes of a connection; negative when it
  /// took some; of a listener also so many more new connections. Told by an owner that keeps events for later; from the first call on, whatever the
  /// handle, messages that wait to be polled count too.
  package mutating func untaken(
    _ handle: Handle, messages: Int, bytes: Int, connections fresh: Int = 0
  ) {
    keepsMessages = true
    guard let slot = slot(handle) else { return }
    let receiver = receiver(slot)
    guard var untaken = untaken(receiver) else { return }
    // What a program tells can be any number, and is only as good as that.
    untaken.messages = min(max(untaken.messages &+ messages, 0), 1 << 60)
    untaken.bytes = min(max(untaken.bytes &+ bytes, 0), 1 << 60)
    untaken.connections = min(max(untaken.connections &+ fresh, 0), 1 << 60)
    judge(&untaken, receiver)
    setUntaken(untaken, receiver)
  }

  /// A message of a connection waits to be polled. One datagram can have many, so they count before
  /// the owner that keeps messages has told of the first.
  mutating func messageWaits(_ slot: Int, bytes: Int) {
    let receiver = receiver(slot)
    guard var untaken = untaken(receiver) else { return }
    untaken.pendingMessages += 1
    untaken.pendingBytes += bytes
    judge(&untaken, receiver)
    setUntaken(untaken, receiver)
  }

  /// A message was polled: its owner counts it from here on, or it is taken.
  mutating func messagePolled(_ slot: Int, bytes: Int) {
    let receiver = receiver(slot)
    guard var untaken = untaken(receiver) else { return }
    // Events may have been told before anybody kept any.
    untaken.pendingMessages = max(untaken.pendingMessages - 1, 0)
    untaken.pendingBytes = max(untaken.pendingBytes - bytes, 0)
    setUntaken(untaken, receiver)
    polledReceiver = receiver
  }

  /// The next event is asked for, so the owner has told what became of the last one: only now may
  /// there be room again.
  mutating func settlePolledMessage() {
    guard let receiver = polledReceiver else { return }
    polledReceiver = nil
    guard var untaken = untaken(receiver), untaken.isFull else { return }
    judge(&untaken, receiver)
    setUntaken(untaken, receiver)
  }

  /// The listener of a server connection, or the client itself.
  private func receiver(_ slot: Int) -> Int {
    let listener = connections[slot].listener
    return listener == ConnectionRecord.noSlot ? slot : Int(listener)
  }

  /// At a mark it is full, and below half of both it is not any more.
  private mutating func judge(_ untaken: inout Untaken, _ receiver: Int) {
    let options = options(receiver)
    let markMessages = Int(options.receiveMarkMessages)
    let markBytes = Int(options.receiveMarkBytes)
    let messages = untaken.messages + untaken.pendingMessages
    let bytes = untaken.bytes + untaken.pendingBytes
    if messages >= markMessages || bytes >= markBytes {
      if !untaken.isFull { fullReceivers += 1 }
      untaken.isFull = true
    } else if untaken.isFull, messages * 2 < markMessages, bytes * 2 < markBytes {
      untaken.isFull = false
      untaken.isTold = false
      fullReceivers -= 1
      resumeStreams(&untaken)
    }
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
    guard isPaused(socket) else { return }
    sockets[Int(socket.rawValue)].isPaused = false
    actions.append(.resume(socket))
  }

  /// Stops reading a stream until the program has taken enough: what it carries waits at the
  /// sender, and nothing is dropped.
  mutating func pauseStream(_ slot: Int) {
    let receiver = receiver(slot)
    let socket = connections[slot].socket
    guard var untaken = untaken(receiver), isStream(socket), !isPaused(socket) else { return }
    sockets[Int(socket.rawValue)].isPaused = true
    if untaken.paused.count >= untaken.pausedLimit { forgetEnded(&untaken) }
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
    untaken.pausedLimit = 64
  }

  /// Peers that come, are paused and go while the program takes nothing leave nothing behind.
  private func forgetEnded(_ untaken: inout Untaken) {
    untaken.paused.removeAll { handle in
      guard let slot = slot(handle) else { return true }
      return !isPaused(connections[slot].socket)
    }
    untaken.pausedLimit = max(64, untaken.paused.count * 2)
  }

  /// Whether a stream is to be read now. If the program takes no more of its messages it is paused,
  /// before anything is read.
  package mutating func mayRead(_ socket: SocketID) -> Bool {
    guard fullReceivers > 0, let slot = owner(socket), connections[slot].phase == .open,
      connections[slot].role != .listener, !takesMessages(slot)
    else { return true }
    pauseStream(slot)
    return false
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
