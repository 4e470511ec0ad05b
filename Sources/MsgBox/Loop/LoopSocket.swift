/// One socket of a loop. Small, for there is one for each TCP connection.
final class LoopSocket {
  enum Role: UInt8 {
    case datagram
    case connectedDatagram
    case listener
    case connecting
    case stream
  }

  let id: SocketID
  /// Which of the sockets this is that have had its id.
  private let generation: UInt32
  /// Nil once it was closed, though someone may still hold this object until the end of a call.
  private var descriptor: FileDescriptor?
  var role: Role
  /// The system's send buffer is full, and the core knows.
  var isBlocked = false
  /// Of a stream: it is not read, because the program takes no more.
  var isPaused = false
  /// Of a stream: it hung up while it was paused, and is not polled until it is read again.
  var isUnpolled = false
  /// Of a stream: its end was read.
  var hasReadEnd = false
  /// Of a stream: its failure was told to the core.
  var hasFailed = false
  /// Of a listener: accepting fails for want of descriptors, and the core knows.
  var isShedding = false
  /// What the poller watches it for.
  var interest = Readiness.none
  /// Of a stream: why writing failed, while there may be bytes left to read.
  var writeError: Errno?
  /// Nil of a stream.
  private let bound: BoundSocket?

  init(id: SocketID, generation: UInt32, socket: consuming OpenSocket, role: Role) {
    self.id = id
    self.generation = generation
    self.role = role
    switch role {
    case .datagram, .connectedDatagram, .listener: bound = BoundSocket(socket)
    case .connecting, .stream: bound = nil
    }
    descriptor = socket.takeDescriptor()
  }

  /// The number of the descriptor; -1 once it was closed.
  var fd: Int32 {
    switch descriptor {
    case .some(let descriptor): descriptor.rawValue
    case .none: -1
    }
  }

  /// What the poller says when it is ready; no other socket of the loop ever has it.
  var token: UInt64 { UInt64(generation) << 32 | UInt64(id.rawValue) }

  var isOpen: Bool { fd >= 0 }

  func close() { descriptor = nil }

  var isConnectedDatagram: Bool { role == .connectedDatagram }

  /// Its own address, if it is no stream; the IP is unspecified at a wildcard.
  var local: Address { bound?.local ?? .unspecified }

  var isIPv6: Bool { bound?.isIPv6 ?? false }

  var isWildcard: Bool { bound?.isWildcard ?? false }

  /// The peer of a connected UDP socket.
  var remote: Address {
    get { bound?.remote ?? .unspecified }
    set { bound?.remote = newValue }
  }

  /// Of a UDP socket: whether datagrams leave together.
  var trains: Trains {
    get { bound?.trains ?? Trains() }
    set { bound?.trains = newValue }
  }

  /// Of a UDP socket: whether it has mostly one datagram when it is ready. To ask for more is tried
  /// again after some.
  var expectsOne: Bool { (bound?.onesInRow ?? 0) >= BoundSocket.onesBelieved }

  /// Notes what a UDP socket had when it was ready.
  func received(isOne: Bool) {
    guard let bound else { return }
    bound.onesInRow = isOne ? bound.onesInRow + 1 : 0
    if bound.onesInRow > BoundSocket.onesTrusted { bound.onesInRow = BoundSocket.onesBelieved - 1 }
  }

  /// What was polled from the core but not sent, oldest first; less than one batch.
  var held: [HeldDatagram] {
    get { bound?.held ?? [] }
    _modify {
      var none: [HeldDatagram] = []
      if let bound { yield &bound.held } else { yield &none }
    }
  }

  /// Whether there is something in `held`, or in `backlog`.
  var isHolding: Bool { bound?.held.isEmpty == false }
  var hasBacklog: Bool { bound?.backlog.isEmpty == false }

  /// What was received and waits for the next turn, oldest first; less than one batch.
  var backlog: [BacklogTrain] {
    get { bound?.backlog ?? [] }
    _modify {
      var none: [BacklogTrain] = []
      if let bound { yield &bound.backlog } else { yield &none }
    }
  }
}

/// What only a UDP socket or a listener has.
private final class BoundSocket {
  let local: Address
  let isIPv6: Bool
  let isWildcard: Bool
  var remote = Address.unspecified
  var trains = Trains()
  var held: [HeldDatagram] = []
  var backlog: [BacklogTrain] = []
  /// Receptions in a row that brought one datagram.
  var onesInRow = 0

  /// After so many the next is expected to be one too.
  static let onesBelieved = 8
  /// After so many, 16 of which were expected, it is tried whether there is more.
  static let onesTrusted = 24

  init(_ socket: borrowing OpenSocket) {
    local = socket.local
    isIPv6 = socket.isIPv6
    isWildcard = socket.isWildcard
  }
}

/// The sockets of a loop by their ids, which are small and used again.
struct SocketTable {
  private var slots: [LoopSocket?] = []
  private var generations: [UInt32] = []
  private var free: [UInt32] = []

  subscript(id: SocketID) -> LoopSocket? {
    let index = Int(id.rawValue)
    return index < slots.count ? slots[index] : nil
  }

  /// The socket of a poller's token; nil if it is gone, even if its id is in use again.
  subscript(token token: UInt64) -> LoopSocket? {
    guard let socket = self[SocketID(rawValue: UInt32(truncatingIfNeeded: token))],
      socket.token == token
    else { return nil }
    return socket
  }

  mutating func add(_ socket: consuming OpenSocket, role: LoopSocket.Role) -> LoopSocket {
    let index = free.popLast() ?? UInt32(truncatingIfNeeded: slots.count)
    if Int(index) == slots.count {
      slots.append(nil)
      generations.append(0)
    }
    generations[Int(index)] &+= 1
    let added = LoopSocket(
      id: SocketID(rawValue: index), generation: generations[Int(index)], socket: socket,
      role: role)
    slots[Int(index)] = added
    return added
  }

  /// Closes a socket and takes it out.
  mutating func remove(_ id: SocketID) {
    guard let socket = self[id] else { return }
    socket.close()
    slots[Int(id.rawValue)] = nil
    free.append(id.rawValue)
  }

  /// The ids in use, in order.
  var ids: [SocketID] {
    var ids: [SocketID] = []
    for index in slots.indices where slots[index] != nil {
      ids.append(SocketID(rawValue: UInt32(truncatingIfNeeded: index)))
    }
    return ids
  }
}
