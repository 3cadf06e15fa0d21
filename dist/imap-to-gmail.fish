# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_imap_to_gmail_global_optspecs
    string join \n c/config= state-file= once poll-interval= no-idle dry-run http= log= log-max-size= log-max-files= debug h/help V/version
end

function __fish_imap_to_gmail_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_imap_to_gmail_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_imap_to_gmail_using_subcommand
    set -l cmd (__fish_imap_to_gmail_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c imap-to-gmail -n "__fish_imap_to_gmail_needs_command" -s c -l config -d 'The configuration (JSON); given several times, or a folder of them, several accounts are watched at once' -r -F
complete -c imap-to-gmail -n "__fish_imap_to_gmail_needs_command" -l state-file -d 'The ledger [default: the configuration\'s `state_file`, else sync_state.db beside the configuration]' -r -F
complete -c imap-to-gmail -n "__fish_imap_to_gmail_needs_command" -l poll-interval -d 'How often to look where the source does not tell of new mail by itself: 60 or 60s, 5min, 1h' -r
complete -c imap-to-gmail -n "__fish_imap_to_gmail_needs_command" -l http -d 'Serve a page for a browser there, with /metrics, /healthz and /status.json: a port of this machine, like 8080, or an address and a port, like 192.168.1.5:8080. There is no password' -r
complete -c imap-to-gmail -n "__fish_imap_to_gmail_needs_command" -l log -d 'Where the log goes: stdout, stderr, syslog, or the path of a file. SIGHUP, as a terminal sends it that is closed, makes it open the file anew; without a file it ends the program' -r -F
complete -c imap-to-gmail -n "__fish_imap_to_gmail_needs_command" -l log-max-size -d 'A log file is rotated, to FILE.1.zst and so on, before it exceeds this: 100K, 10M, 1G, or bytes' -r
complete -c imap-to-gmail -n "__fish_imap_to_gmail_needs_command" -l log-max-files -d 'How many rotated log files are kept; 0 keeps none: a full log is emptied' -r
complete -c imap-to-gmail -n "__fish_imap_to_gmail_needs_command" -l once -d 'Try everything that waits once, then end'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_needs_command" -l no-idle -d 'Look every --poll-interval, even where the source could tell (IDLE)'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_needs_command" -l dry-run -d 'Only say what would be done; nothing is written'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_needs_command" -l debug -d 'Log details and the protocol, without passwords and message bodies'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_needs_command" -s h -l help -d 'Print help'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_needs_command" -s V -l version -d 'Print version'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_needs_command" -f -a "run" -d 'Watch for mail and copy it'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_needs_command" -f -a "auth" -d 'Sign in with a browser and write the token file'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_needs_command" -f -a "check" -d 'Try every setting for real, change nothing, and say what is wrong'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_needs_command" -f -a "folders" -d 'Show the source\'s mailboxes (folders), and what becomes of each'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_needs_command" -f -a "status" -d 'Say what has been delivered, what waits, and what is wrong'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_needs_command" -f -a "audit" -d 'Is everything in Gmail that should be, and what became of the rest'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_needs_command" -f -a "health" -d 'Say in one line whether all is well: exit status 0 if so, else 1'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_needs_command" -f -a "retry-failed" -d 'Give failed messages another try, or give them up for good'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_needs_command" -f -a "import-state" -d 'Take over what the Python script had copied'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand run" -s c -l config -d 'The configuration (JSON); given several times, or a folder of them, several accounts are watched at once' -r -F
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand run" -l state-file -d 'The ledger [default: the configuration\'s `state_file`, else sync_state.db beside the configuration]' -r -F
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand run" -l poll-interval -d 'How often to look where the source does not tell of new mail by itself: 60 or 60s, 5min, 1h' -r
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand run" -l http -d 'Serve a page for a browser there, with /metrics, /healthz and /status.json: a port of this machine, like 8080, or an address and a port, like 192.168.1.5:8080. There is no password' -r
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand run" -l log -d 'Where the log goes: stdout, stderr, syslog, or the path of a file. SIGHUP, as a terminal sends it that is closed, makes it open the file anew; without a file it ends the program' -r -F
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand run" -l log-max-size -d 'A log file is rotated, to FILE.1.zst and so on, before it exceeds this: 100K, 10M, 1G, or bytes' -r
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand run" -l log-max-files -d 'How many rotated log files are kept; 0 keeps none: a full log is emptied' -r
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand run" -l once -d 'Try everything that waits once, then end'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand run" -l no-idle -d 'Look every --poll-interval, even where the source could tell (IDLE)'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand run" -l dry-run -d 'Only say what would be done; nothing is written'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand run" -l debug -d 'Log details and the protocol, without passwords and message bodies'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand auth" -l credentials -d 'The credentials of the OAuth client: Google\'s client_secret.json, or as --provider says' -r -F
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand auth" -l token-file -d 'The token file [default: the one of the configuration, else token.json]' -r -F
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand auth" -l port -d 'Where the browser comes back to on 127.0.0.1 [default: a port that is free]' -r
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand auth" -s c -l config -d 'The configuration, for the account and its token file; the token is tried there [default: config.json, where there is one]' -r -F
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand auth" -l provider -d 'Whose account it is' -r -f -a "google\t'Gmail; --credentials is the JSON of a client of type "Desktop app"'
microsoft\t'Outlook.com, Microsoft 365; --credentials is {"client_id": "..."} of an app of your own, with `tenant` and `client_secret` where it has them'
other\t'Any other; --credentials is {"auth_uri", "token_uri", "client_id", "scope"}, with `client_secret`, `device_uri` and `redirect_uri` where the provider has them'"
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand auth" -l no-browser -d 'Open no browser, only show the address'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand auth" -l device -d 'Show a code to enter on another device, where the provider has that (Microsoft)'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand auth" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand check" -s c -l config -d 'The configuration (JSON); given several times, or a folder of them, each is tried' -r -F
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand check" -l json -d 'As JSON'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand folders" -s c -l config -d 'The configuration (JSON)' -r -F
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand folders" -l json -d 'As JSON'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand folders" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand status" -s c -l config -d 'The configuration, which says where the ledger is; given several times, or a folder of them, each is meant [default: config.json, where there is one]' -r -F
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand status" -l state-file -d 'The ledger itself, whatever the configuration says [default: sync_state.db, where there is no configuration either]' -r -F
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand status" -l json -d 'As JSON'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand status" -l failed -d 'Each message too that failed or is put off, with its id and the reason'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand audit" -s c -l config -d 'The configuration (JSON); given several times, or a folder of them, each is audited' -r -F
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand audit" -l repair -d 'Have these sent again: ids as the list shows them, or all of a class (failed, skipped, deleted, lost, voucher_gone). They wait again; a run looks for each in Gmail, and sends what is not there' -r
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand audit" -l json -d 'As JSON, with each message that is not plainly there'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand audit" -l all -d 'List each message that is not plainly there, also where there are more than 50'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand audit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand health" -s c -l config -d 'The configuration, which says where the ledger is; given several times, or a folder of them, each is meant [default: config.json, where there is one]' -r -F
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand health" -l state-file -d 'The ledger itself, whatever the configuration says [default: sync_state.db, where there is no configuration either]' -r -F
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand health" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand retry-failed" -s c -l config -d 'The configuration, which says where the ledger is [default: config.json, where there is one]' -r -F
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand retry-failed" -l state-file -d 'The ledger itself, whatever the configuration says [default: sync_state.db, where there is no configuration either]' -r -F
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand retry-failed" -l skip -d 'Give them up for good instead'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand retry-failed" -s h -l help -d 'Print help'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand import-state" -s c -l config -d 'The configuration, which says where the ledger is [default: config.json, where there is one]' -r -F
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand import-state" -l state-file -d 'The ledger itself, whatever the configuration says [default: sync_state.db, where there is no configuration either]' -r -F
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand import-state" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand help; and not __fish_seen_subcommand_from run auth check folders status audit health retry-failed import-state help" -f -a "run" -d 'Watch for mail and copy it'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand help; and not __fish_seen_subcommand_from run auth check folders status audit health retry-failed import-state help" -f -a "auth" -d 'Sign in with a browser and write the token file'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand help; and not __fish_seen_subcommand_from run auth check folders status audit health retry-failed import-state help" -f -a "check" -d 'Try every setting for real, change nothing, and say what is wrong'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand help; and not __fish_seen_subcommand_from run auth check folders status audit health retry-failed import-state help" -f -a "folders" -d 'Show the source\'s mailboxes (folders), and what becomes of each'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand help; and not __fish_seen_subcommand_from run auth check folders status audit health retry-failed import-state help" -f -a "status" -d 'Say what has been delivered, what waits, and what is wrong'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand help; and not __fish_seen_subcommand_from run auth check folders status audit health retry-failed import-state help" -f -a "audit" -d 'Is everything in Gmail that should be, and what became of the rest'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand help; and not __fish_seen_subcommand_from run auth check folders status audit health retry-failed import-state help" -f -a "health" -d 'Say in one line whether all is well: exit status 0 if so, else 1'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand help; and not __fish_seen_subcommand_from run auth check folders status audit health retry-failed import-state help" -f -a "retry-failed" -d 'Give failed messages another try, or give them up for good'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand help; and not __fish_seen_subcommand_from run auth check folders status audit health retry-failed import-state help" -f -a "import-state" -d 'Take over what the Python script had copied'
complete -c imap-to-gmail -n "__fish_imap_to_gmail_using_subcommand help; and not __fish_seen_subcommand_from run auth check folders status audit health retry-failed import-state help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
