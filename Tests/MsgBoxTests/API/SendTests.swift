import MsgBox
import Testing

/// A listener and clients of it in one box.
private final class Scene {
  let box: MessageBox
  let listener: Listener
  private(set) var events: [OwnedEvent] = []
  private(set) var clients: [Connection] = []
  private(set) var servers: [Connection] = []

  init(_ transport: String, clients count: Int = 1, _ options: Options = Options()) throws {
    box = try MessageBox()
    listener = try box.listen(on: "\(transport)://127.0.0.1:0", options: options)
    try run { $0.has { if case .listening = $0 { true } else { false } } }
    let address = try #require(box.address(of: listener))
    for number in 1...count {
      let client = try box.connect(to: address, options: options)
      clients.append(client)
      try run { scene in
        scene.servers.count == number
          && scene.has { if case .connectionSetup(client) = $0 { true } else { false } }
      }
    }
  }

  /// Runs the box until `isDone`, or records an issue after 10 s.
  func run(until isDone: (Scene) -> Bool) throws {
    let end = ContinuousClock.now + .seconds(10)
    while !isDone(self) {
      let left = ContinuousClock.now.duration(to: end)
      guard left > .zero else {
        Issue.record("not in time: \(events.map(\.name))")
        return
      }
      try box.run(timeout: left) { event in
        if case .connectionReady(let connection, _) = event { servers.append(connection) }
        events.append(OwnedEvent(copying: event))
      }
    }
  }

  func has(_ isWanted: (OwnedEvent) -> Bool) -> Bool { events.contains(where: isWanted) }

  func count(_ isWanted: (OwnedEvent) -> Bool) -> Int { events.count(where: isWanted) }

  /// Texts of the messages that came to a connection.
  func messages(to connection: Connection) -> [String] {
    events.compactMap { event in
      guard case .message(connection, let bytes) = event else { return nil }
      return String(decoding: bytes, as: UTF8.self)
    }
  }

  /// How sends of a connection ended, by their contexts: nil is delivered.
  func outcomes(of connection: Connection) -> [UInt: MessageError.Code?] {
    var outcomes: [UInt: MessageError.Code?] = [:]
    for event in events {
      switch event {
      case .delivered(connection, let context): outcomes.updateValue(nil, forKey: context)
      case .undelivered(connection, let error, let context):
        outcomes.updateValue(error.code, forKey: context)
      default: break
      }
    }
    return outcomes
  }

  /// The end of a connection: why, and how many messages were not delivered.
  func end(of connection: Connection) -> (MessageError.Code, undelivered: Int)? {
    for event in events {
      switch event {
      case .connectionClosed(connection, let error, let undelivered),
        .connectionLost(connection, let error, _, let undelivered):
        return (error.code, undelivered)
      default: break
      }
    }
    return nil
  }
}

@Suite("Sends of all kinds")
struct SendTests {
  @Test("Reliable messages arrive in order and tell so", arguments: ["udp", "tcp"])
  func reliable(_ transport: String) throws {
    let scene = try Scene(transport)
    let (client, server) = (scene.clients[0], scene.servers[0])
    for number in UInt(0)..<100 {
      let options = MessageBox.SendOptions.reliable(channel: 3, tellingOutcomeTo: number)
      try scene.box.send("\(number)", to: client, options: options)
    }
    try scene.run { $0.outcomes(of: client).count == 100 }
    #expect(scene.outcomes(of: client).values.allSatisfy { $0 == nil })
    #expect(scene.messages(to: server) == (0..<100).map { "\($0)" })
    let statistics = try #require(scene.box.statistics(of: client))
    #expect(statistics.queuedMessages == 0)
    #expect(statistics.roundTrip ?? .zero > .zero)
    #expect(statistics.leastRoundTrip ?? .zero > .zero)
    #expect(statistics.roundTripVariation != nil)
    #expect(scene.box.statistics.queuedBytes == 0)
    // Over UDP the acknowledgement of a machine that is busy may be late, and what is sent again
    // for that is dropped.
    if transport == "tcp" { #expect(scene.box.dropped(.duplicate, of: server) == 0) }
  }

  @Test("Options that cannot be are refused by every call")
  func invalid() throws {
    let scene = try Scene("udp")
    let options = MessageBox.SendOptions(channel: 1)
    let error = MessageError(.invalidArgument)
    #expect(throws: error) { try scene.box.send("x", to: scene.clients[0], options: options) }
    #expect(throws: error) { try scene.box.broadcast("x", from: scene.listener, options: options) }
    #expect(throws: error) { try scene.box.sendAny("x", from: scene.listener, options: options) }
    var ofBox = BoxOptions()
    ofBox.receiveBytes = 0
    #expect(throws: error) { try scene.box.setOptions(ofBox) }
  }

  @Test("To all, past who is full, and to any in turn", arguments: ["udp", "tcp"])
  func targets(_ transport: String) throws {
    var options = Options()
    options.sendMarkMessages = 2
    let scene = try Scene(transport, clients: 3, options)
    #expect(try scene.box.broadcast("all", from: scene.listener).reached == 3)
    try scene.run { scene in scene.clients.allSatisfy { scene.messages(to: $0) == ["all"] } }

    for _ in 0..<2 { try scene.box.send("filler", to: scene.servers[1]) }
    let result = try scene.box.broadcast("some", from: scene.listener)
    #expect(result.reached == 2)
    #expect(result.skipped.map(\.connection) == [scene.servers[1]])
    #expect(result.skipped.map(\.reason) == [MessageError(.wouldBlock)])
    try scene.run { $0.has { if case .writable = $0 { true } else { false } } }
    try scene.run { $0.messages(to: $0.clients[2]) == ["all", "some"] }

    var chosen: Set<Connection> = []
    for _ in 0..<3 { chosen.insert(try scene.box.sendAny("one", from: scene.listener)) }
    #expect(chosen == Set(scene.servers))
    for client in scene.clients { try scene.box.disconnect(client) }
    try scene.run { scene in scene.servers.allSatisfy { scene.end(of: $0) != nil } }
    #expect(throws: MessageError(.noPeer)) { try scene.box.sendAny("x", from: scene.listener) }
    #expect(try scene.box.broadcast("x", from: scene.listener).reached == 0)
  }

  @Test("A newer state takes the place of the older", arguments: ["udp", "tcp"])
  func states(_ transport: String) throws {
    let scene = try Scene(transport)
    let client = scene.clients[0]
    for number in UInt(0)..<3 {
      var options = MessageBox.SendOptions.reliable(tellingOutcomeTo: number)
      options.key = 5
      try scene.box.send("\(number)", to: client, options: options)
    }
    try scene.run { $0.outcomes(of: client).count == 3 }
    #expect(scene.outcomes(of: client) == [0: .superseded, 1: .superseded, 2: nil])
    #expect(scene.messages(to: scene.servers[0]) == ["2"])
    #expect(scene.box.dropped(.superseded, of: client) == 2)
  }

  @Test("A get that is given up misses its reply", arguments: ["udp", "tcp"])
  func cancel(_ transport: String) throws {
    let scene = try Scene(transport)
    let get = try scene.box.get("?", from: scene.clients[0], context: 4)
    try scene.box.cancel(get)
    #expect(throws: MessageError(.badHandle)) { try scene.box.cancel(get) }
    try scene.run { scene in
      scene.has { event in
        guard case .replyMissing(_, let error, 4) = event else { return false }
        return error.code == .cancelled
      }
    }
    #expect(scene.box.statistics.getsWaiting == 0)
  }

  @Test("An abort accounts for what it drops", arguments: ["udp", "tcp"])
  func abort(_ transport: String) throws {
    let scene = try Scene(transport)
    let client = scene.clients[0]
    for number in UInt(0)..<10 {
      try scene.box.send("x", to: client, options: .reliable(tellingOutcomeTo: number))
    }
    try scene.box.abort(client)
    try scene.run { $0.end(of: client) != nil }
    #expect(scene.end(of: client)?.0 == .closedLocally)
    #expect(scene.end(of: client)?.undelivered == 10)
    let outcomes = scene.outcomes(of: client)
    #expect(outcomes.count == 10)
    #expect(outcomes.values.allSatisfy { $0 == .connectionEnded })
  }

  @Test("What is put aside counts against the receive mark", arguments: ["udp", "tcp"])
  func putAside(_ transport: String) throws {
    var options = Options()
    options.receiveMarkBytes = 1000
    let scene = try Scene(transport, options)
    let (client, server) = (scene.clients[0], scene.servers[0])
    try scene.box.noteUntaken(messages: 1, bytes: 600, of: server)
    try scene.box.noteUntaken(messages: 1, bytes: 600, of: scene.listener)
    let big = [UInt8](repeating: 120, count: 300_000)
    for number in UInt(0)..<3 {
      try scene.box.send(big, to: client, options: .reliable(tellingOutcomeTo: number))
    }
    try scene.run { scene in
      scene.has { event in
        guard case .error(.listener(scene.listener), let error) = event else { return false }
        return error.code == .receiveMark
      }
    }
    #expect(scene.messages(to: server).count < 3)
    try scene.box.noteUntaken(messages: -2, bytes: -1200, of: scene.listener)
    try scene.run { $0.outcomes(of: client).count == 3 }
    #expect(scene.messages(to: server).count == 3)
    try scene.box.noteUntaken(messages: .max, bytes: .max, of: client)
    try scene.box.noteUntaken(messages: .min, bytes: .min, of: client)
    #expect(throws: MessageError(.badHandle)) {
      try scene.box.noteUntaken(messages: 1, bytes: 1, of: Connection(.none))
    }
  }
}
