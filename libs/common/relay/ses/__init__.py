"""AWS SES."""
