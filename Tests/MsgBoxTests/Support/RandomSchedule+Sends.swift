import MsgBox

/// The programs that send in every way there is.
extension RandomSchedule {
  static func talkInAnyWay(
    _ node: Node, _ handle: Handle, _ random: inout SeededRandom, _ programs: Programs
  ) {
    for _ in 0..<random.within(1...4) {
      switch random.below(100) {
      case 0..<50: sendReliably(node, handle, &random, programs)
      case 50..<65: sendPlainly(node, handle, &random, programs)
      case 65..<80: ask(node, handle, &random, programs)
      case 80..<88: cancel(&random, programs)
      case 88..<94: broadcast(node, &random, programs)
      case 94..<99: sendAny(node, &random, programs)
      default: _ = node.abort(handle)
      }
    }
  }

  /// Mostly small; one in ten takes several packets.
  private static func size(_ random: inout SeededRandom) -> Int {
    random.chance(100) ? random.below(30_001) : random.below(200)
  }

  private static func sendReliably(
    _ node: Node, _ handle: Handle, _ random: inout SeededRandom, _ programs: Programs
  ) {
    guard let flows = programs.flows else { return }
    // Handles of different nodes, and of one node before and after its restart, have different
    // boxes.
    let flow = flows[handle.rawValue]
    // What is too short to tell its sender goes over a channel of its own.
    let count = size(&random)
    let isTold = count >= Content.headerBytes
    programs.contexts += 1
    var options = reliableOptions(outcome: random.chance(700) ? programs.contexts : nil)
    addChoices(&options, &random, firstKey: 1)
    // One that takes the place of another is not in the order of the calls.
    let channel = !isTold ? 9 : options.key != 0 ? 0 : UInt8(random.below(4))
    options.channel = channel
    let mayVanish = options.deadline.nanoseconds > 0 || options.key != 0
    let bytes = isTold ? flow.next(channel: channel, count: count) : random.bytes(count)
    guard node.send(bytes, to: handle, options: options) == .ok, isTold else { return }
    flow.accepted(channel: channel, count: count, mayVanish: mayVanish)
  }

  private static func addChoices(
    _ options: inout SendOptions, _ random: inout SeededRandom, firstKey: Int
  ) {
    if random.chance(100) { options.deadline = .milliseconds(UInt64(1 + random.below(300))) }
    if random.chance(100) { options.key = UInt64(firstKey + random.below(2)) }
  }

  private static func sendPlainly(
    _ node: Node, _ handle: Handle, _ random: inout SeededRandom, _ programs: Programs
  ) {
    var options = SendOptions()
    addChoices(&options, &random, firstKey: 3)
    let content = Content(
      .unreliable, sender: handle.rawValue, sequence: UInt32(random.below(1000)),
      count: size(&random))
    options.isAlone = content.bytes.count % 4 == 1
    _ = node.send(content.bytes, to: handle, options: options)
  }

  private static func ask(
    _ node: Node, _ handle: Handle, _ random: inout SeededRandom, _ programs: Programs
  ) {
    programs.contexts += 1
    let timeout = random.chance(200) ? Interval.milliseconds(UInt64(random.below(900) + 1)) : nil
    let result = node.ask(
      random.bytes(size(&random)), from: handle, context: programs.contexts, timeout: timeout)
    guard case .success(let get) = result, random.chance(500) else { return }
    programs.gets.append((node, get))
  }

  private static func cancel(_ random: inout SeededRandom, _ programs: Programs) {
    guard let index = programs.gets.indices.randomElement(using: &random) else { return }
    let (node, get) = programs.gets.remove(at: index)
    guard node.isAlive, !node.isPaused else { return }
    _ = node.cancel(get: get)
  }

  private static func broadcast(
    _ node: Node, _ random: inout SeededRandom, _ programs: Programs
  ) {
    guard let listener = listener(of: node) else { return }
    let (bytes, options) = messageOfListener(listener, &random, programs)
    _ = node.broadcast(bytes, from: listener, options: options)
  }

  private static func sendAny(_ node: Node, _ random: inout SeededRandom, _ programs: Programs) {
    guard let listener = listener(of: node) else { return }
    let (bytes, options) = messageOfListener(listener, &random, programs)
    _ = node.sendAny(bytes, from: listener, options: options)
  }

  private static func listener(of node: Node) -> Handle? {
    node.guarantees.handlesAlive.first(where: node.guarantees.isListener)
  }

  /// Each receiver is another connection, so these are no flow's; every byte is checked all the
  /// same.
  private static func messageOfListener(
    _ listener: Handle, _ random: inout SeededRandom, _ programs: Programs
  ) -> (bytes: [UInt8], options: SendOptions) {
    programs.contexts += 1
    let isReliable = random.chance(500)
    let options =
      isReliable ? reliableOptions(channel: 9, outcome: programs.contexts) : SendOptions()
    let content = Content(
      .unreliable, sender: listener.rawValue, sequence: 0, count: size(&random))
    return (content.bytes, options)
  }
}
